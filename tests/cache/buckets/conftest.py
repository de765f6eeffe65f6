"""A store with features worth packing, and buckets in memory to put it into."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from obstore.store import MemoryStore

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.buckets import shards
from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.index import Index
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.configs.place import BucketUrl

URL = BucketUrl("s3", "team", "features.zarr")
NUM_ROWS = 30
SPEC = FeatureSetSpec(
    "film/block_2",
    [
        ArraySpec("tokens", (6, 8), ("time", "dim"), "float16"),
        ArraySpec("tokens_length", (), (), "int32", distinct=False),
    ],
    {"backbone": {"model": "tiny"}},
)


def tokens_of(row: int) -> np.ndarray:
    return np.random.default_rng(row).normal(size=(6, 8)).astype(np.float16)


def write(store: FeatureStore, rows: list[int], *, of: str = "day") -> None:
    features = {
        "tokens": np.stack([tokens_of(row) for row in rows]),
        "tokens_length": np.full(len(rows), 6, dtype=np.int32),
    }
    sources = [(SourceFile(f"{of}/{row:03d}.avi", 10, 1, f"{row:064x}"),) for row in rows]
    StoreWriter(store).write(SPEC.name, rows, features, sources=sources, notes=[""] * len(rows))


def stored(folder: Path) -> dict[str, bytes]:
    """All files of a store but what says that it is a mirror."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if path.relative_to(folder).parts[0] != "mirror"
    }


@pytest.fixture
def filled(tmp_path: Path, make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """Thirty rows, of which every fifth is absent, with a constant; eight rows of tokens share an object."""
    monkeypatch.setattr(shards, "_SHARD_BYTES", 8 * 100)
    store = FeatureStore.create(tmp_path / "features.zarr", index=make_index(NUM_ROWS))
    store.add_feature_set(SPEC)
    store.add_constant("text/prompt", np.arange(1, 6, dtype=np.float32), made_by={})
    write(store, [row for row in range(NUM_ROWS) if row % 5])
    for row in range(0, NUM_ROWS, 5):
        StoreWriter(store).report(SPEC.name, row, Status.ABSENT, reason="no film")
    return store


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(URL, objects=MemoryStore())


@pytest.fixture
def opens(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> BucketUrl:
    """The URL under which stores are opened from the bucket in memory."""
    monkeypatch.setattr("weldcache.cache.buckets.opened.Bucket", lambda url: bucket)
    return URL
