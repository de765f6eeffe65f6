"""A folder, a chunk or a description in a store that is a link: nothing is read, written or removed through it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.verify import verify_store
from weldcache.cache.writer import StoreWriter
from weldcache.errors import StoreError

VALUES = np.ones((1, 4, 6), np.float32)


def into_a_link(path: Path, outside: Path) -> None:
    """Move what is at `path` out of the store and leave a link to it."""
    shutil.move(path, outside / path.name)
    path.symlink_to(outside / path.name)


def write(path: Path) -> None:
    store = FeatureStore.open(path)
    StoreWriter(store).write("sensor", [2], {"values": VALUES}, sources=[[]], notes=["a note"])


@pytest.mark.parametrize("folder", ["features", "features/sensor", "features/sensor/values", "status", "status/sensor"])
def test_nothing_is_written_through_a_folder_that_is_a_link(store: FeatureStore, precious: Path, folder: str) -> None:
    into_a_link(store.path / folder, precious)
    before = sorted(precious.rglob("*"))
    with pytest.raises(StoreError, match="link"):
        write(store.path)
    with pytest.raises(StoreError, match="link"):
        FeatureStore.open(store.path).read("sensor/values", [0])
    assert sorted(precious.rglob("*")) == before


def test_a_chunk_that_is_a_link_is_damaged_and_replaced(store: FeatureStore, precious: Path) -> None:
    outside = precious / "secret"
    outside.write_bytes((store.path / "features/sensor/values/c.0.0.0").read_bytes())
    for name in ("c.0.0.0", "c.2.0.0", ".c.2.0.0.part"):
        (store.path / "features/sensor/values" / name).unlink(missing_ok=True)
        (store.path / "features/sensor/values" / name).symlink_to(outside)
    held = FeatureStore.open(store.path)
    with pytest.raises(StoreError):
        held.read("sensor/values", [0])
    findings = [finding for check in verify_store(held) for finding in check.findings]
    assert {
        (finding.check, finding.severity)
        for finding in findings
        if finding.part.startswith(("features/sensor/values", "sensor/values"))
    } >= {("metadata", "error"), ("checksums", "error")}
    before = outside.read_bytes()
    with pytest.raises((StoreError, OSError)):
        write(store.path)
    (store.path / "features/sensor/values/.c.2.0.0.part").unlink(missing_ok=True)
    write(store.path)
    assert outside.read_bytes() == before
    np.testing.assert_array_equal(held.read("sensor/values", [2]), VALUES)


@pytest.mark.parametrize("name", ["zarr.json", "index/keys", "index/keys/c/0", "index/keys/zarr.json", "index/keys/c"])
def test_no_store_opens_whose_description_or_index_is_a_link(store: FeatureStore, precious: Path, name: str) -> None:
    into_a_link(store.path / name, precious)
    with pytest.raises(StoreError):
        FeatureStore.open(store.path)


@pytest.mark.parametrize("name", ["features/zarr.json", "features/more", "status/more", "constants/text"])
def test_nothing_is_made_through_a_link_that_leads_to_nothing_yet(
    store: FeatureStore, precious: Path, name: str
) -> None:
    shutil.rmtree(store.path / name) if (store.path / name).is_dir() else (store.path / name).unlink(missing_ok=True)
    (store.path / name).symlink_to(precious / "new")
    held = FeatureStore.open(store.path)
    with pytest.raises(StoreError, match="link"):
        held.add_feature_set(FeatureSetSpec("more", [ArraySpec("values", (2,), ("dim",), "float32")], {}))
        held.add_constant("text/other", np.ones(3, np.float32), made_by={})
    assert not (precious / "new").exists()


def test_the_store_itself_may_be_a_link(
    store: FeatureStore, tmp_path: Path, use_in_every_way: Callable[[Path], None]
) -> None:
    (tmp_path / "link.zarr").symlink_to(store.path)
    use_in_every_way(tmp_path / "link.zarr")
    write(tmp_path / "link.zarr")
    np.testing.assert_array_equal(FeatureStore.open(store.path).read("sensor/values", [2]), VALUES)
