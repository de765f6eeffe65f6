"""A store whose description is sealed and says what cannot be: refused before anything is allocated for it."""

import json
import resource
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest

from weldcache.cache import row_tables
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.outcome import Verification, read_record
from weldcache.cache.verification.verify import verify_store
from weldcache.documents import sealed
from weldcache.errors import StoreError

Forge = Callable[[Callable[[dict[str, Any]], object]], None]


@contextmanager
def little_memory(num_bytes: int = 512 << 20) -> Iterator[None]:
    """No more address space than `num_bytes` above what the process has."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def array_of(description: dict[str, Any]) -> dict[str, Any]:
    return dict.__getitem__(description["manifest"]["features"]["sensor"]["arrays"], "values")


def put(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda description: array_of(description).update({key: value})


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "fewer than no rows": lambda told: told.update(num_rows=-1),
    "more rows than the index": lambda told: told.update(num_rows=4),
    "many more rows": lambda told: told.update(num_rows=2**31 - 1),
    "rows without end": lambda told: told.update(num_rows=10**12),
    "rows as text": lambda told: told.update(num_rows="3"),
    "rows as truth": lambda told: told.update(num_rows=True),
    "an axis below zero": put("shape", [-1, 6]),
    "an axis of nothing": put("shape", [0, 6]),
    "rows of terabytes": put("shape", [10**6, 10**6]),
    "an axis too long for a number": put("shape", [2**70, 6]),
    "axes without names": put("dims", ["step"]),
    "a type that holds objects": put("dtype", "object"),
    "a type that numpy knows": put("dtype", "complex128"),
    "attributes that are no object": put("attributes", [1]),
    "an unknown entry": put("compressor", {"id": "zlib"}),
    "a set without arrays": lambda told: told["manifest"]["features"]["sensor"].pop("arrays"),
    "a set with no array": lambda told: told["manifest"]["features"]["sensor"].update(arrays={}),
    "a set inside another": lambda told: told["manifest"]["features"].update(
        {"sensor/values": told["manifest"]["features"]["sensor"]}
    ),
    "a backbone that is a list": lambda told: told["manifest"]["features"]["sensor"].update(made_by={"backbone": [1]}),
    "a length of another type": lambda told: told["manifest"]["features"]["sensor"]["arrays"].update(
        values_length={**array_of(told), "dtype": "float64"}
    ),
    "no constants": lambda told: told["manifest"].pop("constants"),
    "groups of text": lambda told: told.update(batching={"group_size": "8"}),
    "versions of numbers": lambda told: told.update(versions={"numpy": 2}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_it_is_refused(store: FeatureStore, forge: Forge, what: str) -> None:
    forge(CHANGES[what])
    with little_memory(), pytest.raises(StoreError, match=r"stranger\.zarr"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(
    ("shape", "chunk"),
    [(10**12, 1), (2**31 - 1, 1), (2**31 - 1, 65_536), (2**31 - 1, 2**31 - 1), (3, 2**28), (10**12, 10**12)],
)
@pytest.mark.parametrize("column", ["targets/label", "index/keys"])
def test_an_index_without_end_is_refused_at_once(store: FeatureStore, column: str, shape: int, chunk: int) -> None:
    path = store.path / column / "zarr.json"
    metadata = json.loads(path.read_text())
    metadata["shape"], metadata["chunk_grid"]["configuration"]["chunk_shape"] = [shape], [chunk]
    path.write_text(json.dumps(metadata))
    with little_memory(), pytest.raises(StoreError, match=column):
        FeatureStore.open(store.path)


def test_a_chunk_that_announces_texts_without_end_is_refused(store: FeatureStore) -> None:
    path = store.path / "index/keys/c/0"
    data = struct.pack("<I", 2**32 - 1) + path.read_bytes()[4:-4]
    path.write_bytes(data + struct.pack("<I", google_crc32c.value(data)))
    with little_memory(), pytest.raises(StoreError, match="number of texts"):
        FeatureStore.open(store.path)


def test_a_constant_without_end_is_damaged(store: FeatureStore) -> None:
    path = store.path / "constants/text/prompt/zarr.json"
    metadata = json.loads(path.read_text())
    for shape in ([2**30], [10**6, 10**6], []):
        metadata["shape"] = metadata["chunk_grid"]["configuration"]["chunk_shape"] = shape
        path.write_text(json.dumps(metadata))
        held = FeatureStore.open(store.path)
        with little_memory():
            with pytest.raises(StoreError, match="text/prompt"):
                held.constant("text/prompt")
            parts = {finding.part for check in verify_store(held) for finding in check.findings}
        assert parts == {"constants/text/prompt"}


def test_rows_that_are_larger_than_their_files_are_never_given_room(store: FeatureStore, forge: Forge) -> None:
    """256 MiB a row is possible; that it is so is seen before anything of that size is touched."""
    forge(put("shape", [1 << 13, 1 << 13]))
    held = FeatureStore.open(store.path)
    with little_memory(), pytest.raises(StoreError, match=r"c\.0\.0\.0 is damaged"):
        held.read("sensor/values", [0, 1, 0, 1, 0])
    with little_memory(2 << 30):  # a buffer for a row in each thread, of which nothing is touched
        found = [finding for check in verify_store(held) for finding in check.findings]
    assert {finding.key for finding in found if finding.check == "checksums"} == {"a", "b"}


@pytest.mark.parametrize(
    "change",
    [
        {"errors": "none"},
        {"warnings": -1},
        {"live": {"samples": []}},
        {"row_digests": [1]},
        {"created": None},
        {"x": 1},
    ],
    ids=str,
)
def test_a_record_of_a_verification_that_is_none_is_ignored(
    weldcache: Callable[..., Any], store: FeatureStore, change: dict[str, Any]
) -> None:
    Verification(store.path, store.fingerprint, 3, []).write_record()
    assert read_record(store.path) is not None
    path = store.path / "verification/zarr.json"
    metadata = json.loads(path.read_text())
    metadata["attributes"] = sealed(metadata["attributes"] | change)
    path.write_text(json.dumps(metadata))
    outcome = weldcache("info", "--cache", str(store.path), folder=store.path.parent)
    assert outcome.code == 0 and "what it says is ignored" in outcome.out


def test_one_endless_text_does_not_make_all_others_as_long(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory, each text of a column takes up as much as the longest; what counts is room that no text needs."""
    index = replace(store.index, keys=np.array(["a", "b", "c" * 100]), groups=np.array(["g"] * 3))
    path = FeatureStore.create(store.path.parent / "uneven.zarr", index=index).path
    padding = 4 * 2 * 99  # bytes behind the two short keys
    monkeypatch.setattr(row_tables, "_MOST_PADDING", padding)
    assert len(FeatureStore.open(path).index) == 3
    monkeypatch.setattr(row_tables, "_MOST_PADDING", padding - 1)
    with pytest.raises(StoreError, match=r"3 texts .* 100 characters"):
        FeatureStore.open(path)
