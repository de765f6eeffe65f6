"""The store keeps what it was given, refuses what it was not, and opens in plain Zarr."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weldcache.cache.arrays import ArraySpec, ModalitySpec
from weldcache.cache.index import Index, index_of
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor
from weldcache.cache.writer import StoreWriter
from weldcache.errors import FingerprintError, NotFoundError, OutputExistsError, PrecisionError, StoreError


def video(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"tokens": generator.normal(size=(4, 6)).astype(np.float32), "tokens_length": np.array(seed, np.int32)}


def test_rows_read_back_in_the_order_asked_for(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [0, 3, 1], [video(0), video(3), video(1)])
    reopened = FeatureStore.open(store.path)
    tokens = reopened.read("video/tokens", [3, 0, 3])
    expected = np.stack([video(seed)["tokens"].astype(np.float16) for seed in (3, 0, 3)])
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(reopened.read("video/tokens_length", [1, 3]), [1, 3])
    np.testing.assert_array_equal(reopened.rows("train", modalities=["video"]), [0, 1, 3])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4).map(tuple),
    dtype=st.sampled_from(["float16", "bfloat16", "float32", "float64", "int32", "uint8"]),
    num_rows=st.integers(1, 6),
    seed=st.integers(0, 2**31),
)
def test_any_shape_and_type_round_trips_and_plain_zarr_agrees(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], dtype: str, num_rows: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    index = index_of(
        keys=[str(row) for row in range(num_rows)],
        splits=["test"] * num_rows,
        class_names=["x"] * num_rows,
        sessions=["s"] * num_rows,
        labels=[1] * num_rows,
        attributes={},
    )
    store = FeatureStore.create(tmp_path_factory.mktemp("store") / "s.zarr", index=index)
    spec = ArraySpec("a", shape, tuple(f"axis{i}" for i in range(len(shape))), dtype)  # type: ignore[arg-type]
    store.add_modality(ModalitySpec("m", [spec], {}))
    values = [np.asarray(generator.integers(0, 200, size=shape)) for _ in range(num_rows)]
    chosen = generator.permutation(num_rows)[: generator.integers(1, num_rows + 1)]
    StoreWriter(store).write("m", chosen.tolist(), [{"a": values[row]} for row in chosen])
    read = read_tensor(store, "m/a", chosen)
    np.testing.assert_array_equal(read.float().numpy(), np.stack([values[row] for row in chosen]).astype(np.float32))
    foreign = zarr.open_group(store.path, mode="r")["features/m/a"][:][chosen]
    np.testing.assert_array_equal(foreign, store.read("m/a", chosen))


def test_take_selects_along_the_first_axis(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [2], [video(2)])
    np.testing.assert_array_equal(
        store.read("video/tokens", [2], take=[3, 1]), store.read("video/tokens", [2])[:, [3, 1]]
    )


def test_an_unwritten_row_is_refused_and_is_nan_to_other_readers(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [0], [video(0)])
    with pytest.raises(StoreError, match=r"1 of 2 rows have no video features, the first is day/004"):
        store.read("video/tokens", [0, 4])
    assert np.isnan(zarr.open_group(store.path, mode="r")["features/video/tokens"][4]).all()


def test_data_without_status_does_not_exist(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [0], [video(0)])
    (store.path / "status/video/c.0").unlink()
    assert store.status("video")[0] == Status.MISSING
    with pytest.raises(StoreError):
        store.read("video/tokens", [0])


def test_a_damaged_status_counts_as_missing(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [0], [video(0)])
    path = store.path / "status/video/c.0"
    path.write_bytes(bytes([2]) + path.read_bytes()[1:])
    assert store.status("video")[0] == Status.MISSING


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_flipped_bit_is_found(store: FeatureStore, position: int) -> None:
    StoreWriter(store).write("video", [1], [video(1)])
    path = store.path / "features/video/tokens/c.1.0.0"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"checksum of row 1 does not match"):
        store.read("video/tokens", [1])


def test_a_truncated_and_a_lost_chunk_are_found(store: FeatureStore) -> None:
    StoreWriter(store).write("video", [1], [video(1)])
    path = store.path / "features/video/tokens/c.1.0.0"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match="damaged"):
        store.read("video/tokens", [1])
    path.unlink()
    with pytest.raises(StoreError, match="is gone"):
        store.read("video/tokens", [1])


def test_overflow_names_weld_array_and_mend_and_stores_nothing(store: FeatureStore) -> None:
    features = video(0)
    features["tokens"][2, 3] = 70_000
    with pytest.raises(PrecisionError, match=r"day/002, video, array tokens: .*70000.*cache.dtype=bfloat16"):
        StoreWriter(store).write("video", [2], [features])
    assert store.status("video")[2] == Status.MISSING


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(store: FeatureStore, value: float) -> None:
    features = video(0)
    features["tokens"][0, 0] = value
    with pytest.raises(PrecisionError, match="NaN or infinity"):
        StoreWriter(store).write("video", [0], [features])


def test_bfloat16_rounds_as_torch_does(tmp_path: Path, make_index: Callable[..., Index]) -> None:
    store = FeatureStore.create(tmp_path / "b.zarr", index=make_index(1))
    store.add_modality(ModalitySpec("m", [ArraySpec("a", (4096,), ("dim",), "bfloat16")], {}))
    values = np.random.default_rng(0).normal(scale=1e4, size=4096).astype(np.float32)
    StoreWriter(store).write("m", [0], [{"a": values}])
    stored = read_tensor(store, "m/a", [0])[0]
    assert stored.dtype == torch.bfloat16
    assert torch.equal(stored, torch.from_numpy(values).bfloat16())


def test_reasons_are_kept(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.report("video", 1, Status.ABSENT, reason="no .avi in day/001")
    writer.report("video", 2, Status.UNREADABLE, reason="größer als angekündigt")
    assert FeatureStore.open(store.path).problems("video") == {
        "day/001": "no .avi in day/001",
        "day/002": "größer als angekündigt",
    }
    assert store.rows("train", modalities=["video"]).size == 0


def test_rows_are_appended_and_old_ones_kept(store: FeatureStore, make_index: Callable[..., Index]) -> None:
    StoreWriter(store).write("video", [4], [video(4)])
    store.add_rows(make_index(4, start=3, split="train"))
    reopened = FeatureStore.open(store.path)
    assert reopened.index.keys.tolist() == [f"day/{row:03d}" for row in range(7)]
    assert reopened.index.attributes["CURRENT_A"].tolist() == [100.0 + row for row in range(7)]
    np.testing.assert_array_equal(reopened.status("video"), [0, 0, 0, 0, 1, 0, 0])
    StoreWriter(reopened).write("video", [6], [video(6)])
    np.testing.assert_array_equal(reopened.read("video/tokens", [6])[0], video(6)["tokens"].astype(np.float16))


def test_a_row_whose_split_changed_is_refused(store: FeatureStore, make_index: Callable[..., Index]) -> None:
    with pytest.raises(FingerprintError, match=r"day/000: splits is train in the cache, test in the data"):
        store.add_rows(make_index(2, split="test"))


def test_a_key_that_occurs_twice_is_refused() -> None:
    with pytest.raises(StoreError, match="a occurs 2 times"):
        index_of(
            keys=["a", "a"],
            splits=["train"] * 2,
            class_names=["x"] * 2,
            sessions=["s"] * 2,
            labels=[0, 0],
            attributes={},
        )


def test_constants_and_randomness_are_described(store: FeatureStore) -> None:
    vector = np.arange(3, dtype=np.float32)
    store.add_constant("text/prompt", vector, made_by={"prompt": "a normal weld"})
    reopened = FeatureStore.open(store.path)
    np.testing.assert_array_equal(reopened.constant("text/prompt"), vector)
    assert reopened.random_backbones
    assert reopened.fingerprint == store.fingerprint
    with pytest.raises(StoreError, match="no constant other/vector"):
        reopened.constant("other/vector")


def test_wrong_paths_are_explained(tmp_path: Path, make_index: Callable[..., Index]) -> None:
    with pytest.raises(NotFoundError, match="weldcache extract"):
        FeatureStore.open(tmp_path / "none.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(NotFoundError, match="not a feature store of weldcache"):
        FeatureStore.open(tmp_path / "other.zarr")
    with pytest.raises(OutputExistsError):
        FeatureStore.create(tmp_path / "other.zarr", index=make_index(1))


def test_an_unknown_array_lists_the_known(store: FeatureStore) -> None:
    with pytest.raises(StoreError, match=r"no array video/patches; it has video/tokens, video/tokens_length"):
        store.read("video/patches", [0])


def test_a_full_disk_is_a_sentence_and_loses_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    StoreWriter(store).write("video", [0], [video(0)])

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="No space left on device"):
            StoreWriter(store).write("video", [1], [video(1)])
    np.testing.assert_array_equal(store.status("video"), [1, 0, 0, 0, 0])
    StoreWriter(store).write("video", [1], [video(1)])
    assert store.read("video/tokens", [0, 1]).shape == (2, 4, 6)


def _write_forever(path: str) -> None:
    store = FeatureStore.open(Path(path))
    writer = StoreWriter(store)
    for row in range(len(store.index)):
        writer.write("video", [row], [video(row)])


def test_killed_writers_leave_only_whole_rows(
    tmp_path: Path, make_index: Callable[..., Index], video_spec: ModalitySpec
) -> None:
    """Real SIGKILLs at random moments: what is complete is right, and the rest can be written afterwards."""
    generator = np.random.default_rng(0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["weldcache.cache.writer"])
    store = FeatureStore.create(tmp_path / "killed.zarr", index=make_index(2000))
    store.add_modality(video_spec)
    for _ in range(5):
        process = context.Process(target=_write_forever, args=(str(store.path),))
        process.start()
        before = (store.status("video") == Status.COMPLETE).sum()
        while process.is_alive() and (store.status("video") == Status.COMPLETE).sum() <= before:
            process.join(0.01)
        process.join(float(generator.uniform(0, 0.1)))
        process.kill()
        process.join()
        complete = np.flatnonzero(store.status("video") == Status.COMPLETE)
        expected = np.stack([video(int(row))["tokens"].astype(np.float16) for row in complete])
        np.testing.assert_array_equal(store.read("video/tokens", complete), expected)
    rest = np.flatnonzero(store.status("video") != Status.COMPLETE)[:50].tolist()
    StoreWriter(store).write("video", rest, [video(row) for row in rest])
    assert store.read("video/tokens_length", rest).tolist() == rest
