"""Streamed features: the same batches as resident ones, few of them in memory, and none that is not complete."""

import tempfile
import threading
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from weldcache.cache.chunks import chunk_path
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor, to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.errors import StoreError
from weldcache.tests.toy import index_of
from weldcache.train.data import features, resident
from weldcache.train.data.batches import batches_in_order, shuffled_batches
from weldcache.train.data.features import FeatureReader
from weldcache.train.data.resident import load_resident
from weldcache.train.data.streamed import Buffer, ReusedBuffers, StreamedFeatures
from weldcache.train.types import FeatureRequest

CPU = torch.device("cpu")
VIDEO, LENGTH = FeatureRequest("video", "tokens"), FeatureRequest("audio", "tokens_length")
PATCHES = FeatureRequest("image/block_4", "patch_tokens")
REQUESTS = (VIDEO, LENGTH, PATCHES)
TYPES: tuple[StorageType, ...] = ("float16", "bfloat16", "float32", "int32", "uint8")


def make_store(path: Path, *, dtypes: list[StorageType], shape: tuple[int, ...], num_rows: int) -> FeatureStore:
    """Rows of arrays with these types, and one that holds each row's number; row 0 is not complete."""
    names = [f"array_{position}" for position in range(len(dtypes))]
    dims = tuple(f"axis_{axis}" for axis in range(len(shape)))
    specs = [ArraySpec(name, shape, dims, dtype) for name, dtype in zip(names, dtypes, strict=True)]
    specs.append(ArraySpec("row", (), (), "int32"))
    keys, same = [f"weld-{row}" for row in range(num_rows)], [""] * num_rows
    index = index_of(keys=keys, splits=same, class_names=same, groups=same, labels=[0] * num_rows, attributes={})
    store = FeatureStore.create(path, index=index)
    store.add_feature_set(FeatureSetSpec("all/of_them", specs, {}))
    rng = np.random.default_rng(0)
    values = {name: torch.from_numpy(rng.integers(0, 200, size=(num_rows, *shape))) for name in names}
    stored = {spec.name: to_storage(values.get(spec.name, torch.arange(num_rows)), spec, owners=keys) for spec in specs}
    StoreWriter(store).write("all/of_them", range(num_rows), stored, sources=[()] * num_rows, notes=same)
    StoreWriter(store).report("all/of_them", 0, Status.ABSENT, reason="no file")
    return store


@settings(max_examples=10)
@given(
    dtypes=st.lists(st.sampled_from(TYPES), min_size=1, max_size=3),
    shape=st.lists(st.integers(1, 5), max_size=3).map(tuple),
    rows=st.lists(st.integers(1, 15), min_size=2, max_size=15, unique=True),
    batch_size=st.integers(2, 8),
    block_rows=st.integers(1, 20),
    read_ahead_bytes=st.sampled_from([1, 200, 2**30]),
    seed=st.integers(0, 9),
)
def test_streamed_and_resident_batches_are_the_same_to_the_last_bit(
    dtypes: list[StorageType],
    shape: tuple[int, ...],
    rows: list[int],
    batch_size: int,
    block_rows: int,
    read_ahead_bytes: int,
    seed: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(resident, "_BLOCK_ROWS", block_rows)
        store = make_store(Path(folder) / "x.zarr", dtypes=dtypes, shape=shape, num_rows=16)
        requests = [FeatureRequest("all/of_them", name) for name in store.arrays("all/of_them")]
        chosen = np.array(rows)
        stays = load_resident(FeatureReader(store, requests), chosen, device=CPU)
        streams = StreamedFeatures(FeatureReader(store, requests), chosen, CPU, read_ahead_bytes=read_ahead_bytes)
        order = shuffled_batches(len(rows), batch_size=batch_size, generator=torch.Generator().manual_seed(seed))
        seen = []
        for samples, one, other in zip(order, stays.batches(order), streams.batches(order), strict=True):
            one, other = one.features, other.features
            assert one.keys() == other.keys() == {request.name for request in requests}
            for name in one:
                assert one[name].dtype == other[name].dtype
                assert torch.equal(one[name], other[name])
                assert torch.equal(one[name], read_tensor(store, name, chosen[samples.numpy()]))
            seen += one["all/of_them/row"].tolist()
    assert len(seen) == len(rows) - (len(rows) % batch_size == 1)
    assert set(seen) <= set(rows) and len(set(seen)) == len(seen)


def test_only_the_arrays_that_are_asked_for_are_read(toy_store: FeatureStore) -> None:
    rows, order = np.array([5, 3, 9]), batches_in_order(3, batch_size=2)
    (toy_store.path / "features" / PATCHES.name / "zarr.json").rename(toy_store.path / "aside")
    for path in (toy_store.path / "features" / PATCHES.name).glob("c.*"):
        path.unlink()
    found = list(
        StreamedFeatures(FeatureReader(toy_store, REQUESTS), rows, CPU).batches(order, arrays=[VIDEO.name, LENGTH.name])
    )
    kept = load_resident(FeatureReader(toy_store, (VIDEO, LENGTH)), rows, device=CPU)
    assert [batch.features.keys() for batch in found] == [{VIDEO.name, LENGTH.name}] * 2
    for batch, expected in zip(found, kept.batches(order, arrays=[LENGTH.name]), strict=True):
        assert expected.features.keys() == {LENGTH.name}
        assert torch.equal(batch.features[LENGTH.name], expected.features[LENGTH.name])


def test_a_row_that_is_not_complete_is_refused(toy_store: FeatureStore) -> None:
    StoreWriter(toy_store).report("audio", 9, Status.UNREADABLE, reason="damaged")
    streamed = StreamedFeatures(FeatureReader(toy_store, REQUESTS), np.arange(20), CPU)
    with pytest.raises(StoreError, match="have no audio features, the first is day/009"):
        list(streamed.batches(batches_in_order(20, batch_size=4)))


def test_a_damaged_chunk_is_named_and_batches_before_it_are_not_lost(toy_store: FeatureStore) -> None:
    path = chunk_path(toy_store.path / "features" / VIDEO.name, 9, num_axes=3)
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    batches = StreamedFeatures(FeatureReader(toy_store, REQUESTS), np.arange(20), CPU).batches(
        batches_in_order(20, batch_size=4)
    )
    next(batches), next(batches)
    with pytest.raises(StoreError, match=r"row 9 does not match its checksum.*c\.9\."):
        next(batches)


@pytest.mark.parametrize("num_rows", [8, 64])
@pytest.mark.parametrize(("budget", "ahead"), [(1, 1), (2.5, 2), (1000, 8)])
def test_no_more_batches_wait_than_the_budget_allows(
    shared_store: FeatureStore, monkeypatch: pytest.MonkeyPatch, num_rows: int, budget: float, ahead: int
) -> None:
    """However many rows there are; the budget is in batches."""
    num_read = []

    def counting(store: FeatureStore, name: str, rows: np.ndarray, *, out: torch.Tensor | None) -> torch.Tensor:
        if name == VIDEO.name and len(rows):
            num_read.append(len(rows))
        return read_tensor(store, name, rows, out=out)

    monkeypatch.setattr(features, "read_tensor", counting)
    allowed = int(budget * FeatureReader(shared_store, REQUESTS).num_bytes(2))
    streamed = StreamedFeatures(
        FeatureReader(shared_store, REQUESTS), np.arange(num_rows), CPU, read_ahead_bytes=allowed
    )
    assert streamed.num_ahead(batch_size=2) == ahead
    for position, _ in enumerate(streamed.batches(batches_in_order(num_rows, batch_size=2)), start=1):
        assert position <= len(num_read) <= position + ahead
    assert sum(num_read) == num_rows


def test_no_thread_is_left_when_nobody_wants_the_rest(shared_store: FeatureStore) -> None:
    batches = StreamedFeatures(FeatureReader(shared_store, REQUESTS), np.arange(60), CPU).batches(
        batches_in_order(60, batch_size=2)
    )
    next(batches)
    assert any(thread.name.startswith("read_ahead") for thread in threading.enumerate())
    batches.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("read_ahead") for thread in threading.enumerate())


def test_a_buffer_is_not_written_before_the_device_has_copied_it(
    shared_store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = []

    class Noted:
        def asked_for(self) -> None:
            events.append("copy")

        def wait(self) -> None:
            events.append("wait")

    def noted(store: FeatureStore, name: str, rows: np.ndarray, *, out: torch.Tensor | None) -> torch.Tensor:
        events.append("read")
        return read_tensor(store, name, rows, out=out)

    monkeypatch.setattr(features, "read_tensor", noted)
    reader = FeatureReader(shared_store, [PATCHES])
    memory = reader.empty(3, device=CPU)
    events.clear()
    reused = ReusedBuffers(reader, deque([Buffer(memory, Noted())]), CPU)
    for rows in ([4, 1, 7], [60, 2]):
        batch = reused.deliver(reused.read(np.array(rows)))
        assert torch.equal(batch.features[PATCHES.name], read_tensor(shared_store, PATCHES.name, rows))
        assert batch.features[PATCHES.name].data_ptr() == memory.features[PATCHES.name].data_ptr()
    assert events == ["wait", "read", "copy"] * 2
