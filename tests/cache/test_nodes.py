"""What lies in a store is found below it, and says of itself what we write or is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.arrays import NUMPY_TYPES
from weldcache.cache.nodes import inside, parse_array_metadata, read_array_metadata, read_group_metadata, require_chunks
from weldcache.cache.store import FeatureStore
from weldcache.errors import StoreError


def test_a_name_is_found_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert inside(tmp_path / "link", "features/image/block_10") == tmp_path / "link/features/image/block_10"
    assert inside(tmp_path, "problem/video/c.0") == tmp_path / "problem/video/c.0"
    with pytest.raises(StoreError, match="link"):
        inside(tmp_path, "link/features")


def test_everything_that_a_store_writes_is_read(store: FeatureStore) -> None:
    store.add_constant("text/prompt", np.ones(3, np.float32), made_by={})
    nodes = [path.parent for path in store.path.rglob("zarr.json")]
    kinds = {json.loads((node / "zarr.json").read_text())["node_type"] for node in nodes}
    assert kinds == {"array", "group"} and len(nodes) > 20
    for node in nodes:
        is_array = json.loads((node / "zarr.json").read_text())["node_type"] == "array"
        (read_array_metadata if is_array else read_group_metadata)(node)
        with pytest.raises(StoreError):
            (read_group_metadata if is_array else read_array_metadata)(node)
    tokens = read_array_metadata(store.path / "features/video/tokens")
    assert (tokens.shape, tokens.chunk_shape, tokens.chunk_bytes) == ((5, 4, 6), (1, 4, 6), 4 * 6 * 2 + 4)
    keys = read_array_metadata(store.path / "index/keys")
    assert keys.is_text and keys.chunk_bytes == 4 + 65_536 * 4 + 4


@pytest.mark.parametrize("name", sorted({dtype.name for dtype in NUMPY_TYPES.values()}))
def test_every_storage_type_is_known(store: FeatureStore, name: str) -> None:
    raw = json.loads((store.path / "features/video/tokens/zarr.json").read_text())
    assert parse_array_metadata({**raw, "data_type": name}, path=store.path).data_type == name


@pytest.mark.parametrize(
    "change", [{"chunk_shape": [1, 4]}, {"chunk_shape": [1, 2**30, 2**30]}, {"chunk_shape": [0, 4, 6]}], ids=str
)
def test_chunks_that_cannot_be_are_refused(store: FeatureStore, change: dict[str, Any]) -> None:
    raw = json.loads((store.path / "features/video/tokens/zarr.json").read_text())
    raw["chunk_grid"]["configuration"] = change
    with pytest.raises(StoreError, match="chunk"):
        parse_array_metadata(raw, path=store.path)


def test_a_chunk_must_be_there_and_as_long_as_the_array_says(store: FeatureStore) -> None:
    path = store.path / "index/keys"
    metadata = read_array_metadata(path)
    require_chunks(path, metadata)
    chunk = path / "c/0"
    data = chunk.read_bytes()
    for changed, fault in ((data[:1000], "cut short"), (b"\xff\xff\xff\xff" + data[4:], "number of texts")):
        chunk.write_bytes(changed)
        with pytest.raises(ValueError, match=fault):
            require_chunks(path, metadata)
    chunk.unlink()
    with pytest.raises(ValueError, match="gone"):
        require_chunks(path, metadata)
    cut = parse_array_metadata(
        json.loads((store.path / "features/video/tokens/zarr.json").read_text())
        | {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1, 4, 3]}}},
        path=path,
    )
    with pytest.raises(ValueError, match="whole rows"):
        require_chunks(path, cut)
