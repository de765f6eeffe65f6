"""The store keeps what it was given, refuses what it was not, and opens in plain Zarr."""

import contextlib
import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weldcache.cache import store as store_module
from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.index import Index
from weldcache.cache.splits import Split
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import read_tensor, to_storage
from weldcache.cache.writer import StoreWriter
from weldcache.errors import FingerprintError, NotFoundError, OutputExistsError, StoreError
from weldcache.tests.toy import index_of


def video(seed: int) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    return {"tokens": generator.normal(size=(4, 6)).astype(np.float16), "tokens_length": np.array(seed, np.int32)}


def write(store: FeatureStore, *rows: int) -> None:
    """Write `video(row)` for each row."""
    features = {name: np.stack([video(row)[name] for row in rows]) for name in ("tokens", "tokens_length")}
    StoreWriter(store).write("video", rows, features, sources=[source(row) for row in rows], notes=[""] * len(rows))


def source(row: int) -> tuple[SourceFile, ...]:
    return (SourceFile(f"day/{row:03d}.avi", 10 + row, 1_700_000_000_000_000_000 + row, f"{row:064x}"),)


def test_rows_read_back_in_the_order_asked_for(store: FeatureStore) -> None:
    write(store, 0, 3, 1)
    reopened = FeatureStore.open(store.path)
    tokens = reopened.read("video/tokens", [3, 0, 3])
    expected = np.stack([video(seed)["tokens"] for seed in (3, 0, 3)])
    np.testing.assert_array_equal(tokens, expected)
    np.testing.assert_array_equal(reopened.read("video/tokens_length", [1, 3]), [1, 3])
    np.testing.assert_array_equal(reopened.rows("train", feature_sets=["video"]), [0, 1, 3])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
        groups=["s"] * num_rows,
        labels=[1] * num_rows,
        attributes={},
    )
    store = FeatureStore.create(tmp_path_factory.mktemp("store") / "s.zarr", index=index)
    spec = ArraySpec("a", shape, tuple(f"axis{i}" for i in range(len(shape))), dtype)  # type: ignore[arg-type]
    store.add_feature_set(FeatureSetSpec("m", [spec], {}))
    values = torch.from_numpy(generator.integers(0, 200, size=(num_rows, *shape)))
    chosen = generator.permutation(num_rows)[: generator.integers(1, num_rows + 1)]
    stored = to_storage(values[torch.from_numpy(chosen)], spec, owners=[str(row) for row in chosen])
    sources, notes = [()] * len(chosen), [""] * len(chosen)
    StoreWriter(store).write("m", chosen.tolist(), {"a": stored}, sources=sources, notes=notes)
    read = read_tensor(store, "m/a", chosen)
    torch.testing.assert_close(read.double(), values[torch.from_numpy(chosen)].double(), rtol=0, atol=0)
    into = torch.empty_like(read)
    assert read_tensor(store, "m/a", chosen, out=into) is into and torch.equal(into, read)
    foreign = zarr.open_group(store.path, mode="r")["features/m/a"][:][chosen]
    np.testing.assert_array_equal(foreign, store.read("m/a", chosen))


def test_an_unwritten_row_is_refused_and_is_nan_to_other_readers(store: FeatureStore) -> None:
    write(store, 0)
    with pytest.raises(StoreError, match=r"1 of 2 rows have no video features, the first is day/004"):
        store.read("video/tokens", [0, 4])
    assert np.isnan(zarr.open_group(store.path, mode="r")["features/video/tokens"][4]).all()


def test_data_without_status_does_not_exist(store: FeatureStore) -> None:
    write(store, 0)
    (store.path / "status/video/c.0").unlink()
    assert store.status("video")[0] == Status.MISSING
    with pytest.raises(StoreError):
        store.read("video/tokens", [0])


def test_a_damaged_status_counts_as_missing(store: FeatureStore) -> None:
    write(store, 0)
    path = store.path / "status/video/c.0"
    path.write_bytes(bytes([2]) + path.read_bytes()[1:])
    assert store.status("video")[0] == Status.MISSING


@pytest.mark.parametrize("position", [0, 20, -1])
def test_a_flipped_bit_is_found(store: FeatureStore, position: int) -> None:
    write(store, 1)
    path = store.path / "features/video/tokens/c.1.0.0"
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"chunk of row 1 does not match its checksum"):
        store.read("video/tokens", [1])


def test_a_truncated_and_a_lost_chunk_are_found(store: FeatureStore) -> None:
    write(store, 1)
    path = store.path / "features/video/tokens/c.1.0.0"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match="damaged"):
        store.read("video/tokens", [1])
    path.unlink()
    with pytest.raises(StoreError, match="is gone"):
        store.read("video/tokens", [1])


def test_reasons_are_kept(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.report("video", 1, Status.ABSENT, reason="no .avi in day/001")
    writer.report("video", 2, Status.UNREADABLE, reason="größer als angekündigt")
    assert FeatureStore.open(store.path).notes("video") == {
        "day/001": "no .avi in day/001",
        "day/002": "größer als angekündigt",
    }
    assert store.rows("train", feature_sets=["video"]).size == 0


def test_rows_are_appended_and_old_ones_kept(store: FeatureStore, make_index: Callable[..., Index]) -> None:
    write(store, 4)
    store.follow(make_index(7))
    reopened = FeatureStore.open(store.path)
    assert reopened.index.keys.tolist() == [f"day/{row:03d}" for row in range(7)]
    assert reopened.index.attributes["CURRENT_A"].tolist() == [100.0 + row for row in range(7)]
    np.testing.assert_array_equal(reopened.status("video"), [0, 0, 0, 0, 1, 0, 0])
    write(reopened, 6)
    np.testing.assert_array_equal(reopened.read("video/tokens", [6])[0], video(6)["tokens"])


def test_a_row_whose_split_changed_is_refused(store: FeatureStore, make_index: Callable[..., Index]) -> None:
    with pytest.raises(FingerprintError, match=r"day/000: split is train in the cache, test in the data"):
        store.follow(make_index(2, split="test"))


def told(index: Index) -> dict[str, list[object]]:
    """All that an index says of rows, in plain values."""
    columns = {name: column.tolist() for name, column in index.columns().items()}
    return columns | {"splits": index.parts.tolist(), "labels": index.labels.tolist()}


def test_an_index_is_replaced_as_a_whole_wherever_it_is_interrupted(
    store: FeatureStore, make_index: Callable[..., Index], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of one data set beside splits of another would be trained on without a word."""
    write(store, 4)
    before, asked = (told(index) for index in (make_index(5), make_index(6, split="val")))
    FeatureStore.open(store.path).add_splits([Split("mine", np.array(["test"] * 5))])
    rename, kept = Path.rename, {}
    for moment in range(8):
        renamed = 0

        def failing(self: Path, target: Path, *, fail_at: int = moment) -> Path:
            nonlocal renamed
            renamed += 1
            if renamed > fail_at:
                raise InterruptedError
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", failing)
        with contextlib.suppress(InterruptedError):
            FeatureStore.open(store.path).follow(make_index(6, split="val"), relabel=True)
        monkeypatch.setattr(Path, "rename", rename)
        reopened = FeatureStore.open(store.path)
        num_rows = len(reopened.index)
        kept[moment] = told(reopened.index)
        assert kept[moment] in [
            {name: column[:num_rows] for name, column in index.items()} for index in (before, asked)
        ]
        assert reopened.splits()["mine"].parts.tolist() == ["test"] * 5 + ["left_out"] * (num_rows - 5)
        np.testing.assert_array_equal(reopened.read("video/tokens", [4])[0], video(4)["tokens"])
    assert kept[0] != kept[7] == asked
    assert not list(store.path.glob("index.*"))


@pytest.mark.parametrize(
    ("keys", "attribute", "message"),
    [("aa", "thickness", "a occurs 2 times"), ("ab", "Stärke mm", "Stärke mm"), ("ab", "../splits", "splits")],
)
def test_an_index_that_cannot_be_stored_is_refused(keys: str, attribute: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        index_of(
            keys=list(keys),
            splits=["train"] * 2,
            class_names=["x"] * 2,
            groups=["s"] * 2,
            labels=[0, 0],
            attributes={attribute: [1.0, 2.0]},
        )


def test_constants_and_randomness_are_described(store: FeatureStore) -> None:
    vector = np.arange(3, dtype=np.float32)
    store.add_constant("text/prompt", vector, made_by={"prompt": "a normal weld"})
    reopened = FeatureStore.open(store.path)
    np.testing.assert_array_equal(reopened.constant("text/prompt"), vector)
    assert reopened.random_backbones and not reopened.made_with_random_weights[1]
    assert "text/prompt" not in reopened.made_with_random_weights[0]  # no backbone made it
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
    with pytest.raises(StoreError, match=r"no array video/patches; video has tokens, tokens_length"):
        store.read("video/patches", [0])


def test_a_full_disk_is_a_sentence_and_loses_nothing(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, 0)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StoreError, match="No space left on device"):
            write(store, 1)
    np.testing.assert_array_equal(store.status("video"), [1, 0, 0, 0, 0])
    write(store, 1)
    assert store.read("video/tokens", [0, 1]).shape == (2, 4, 6)


def _write_forever(path: str) -> None:
    store = FeatureStore.open(Path(path))
    for row in range(len(store.index)):
        write(store, row)


@pytest.mark.slow
def test_killed_writers_leave_only_whole_rows(
    tmp_path: Path, make_index: Callable[..., Index], video_spec: FeatureSetSpec
) -> None:
    """Real SIGKILLs at random moments: what is complete is right, and the rest can be written afterwards."""
    generator = np.random.default_rng(0)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["weldcache.cache.writer"])
    store = FeatureStore.create(tmp_path / "killed.zarr", index=make_index(2000))
    store.add_feature_set(video_spec)
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
        expected = np.stack([video(int(row))["tokens"] for row in complete])
        np.testing.assert_array_equal(store.read("video/tokens", complete), expected)
    rest = np.flatnonzero(store.status("video") != Status.COMPLETE)[:50].tolist()
    write(store, *rest)
    assert store.read("video/tokens_length", rest).tolist() == rest


# Feature sets: added, replaced, forgotten


def cls_spec(model: str = "tiny") -> FeatureSetSpec:
    made_by = {"backbone": {"model": model, "random_weights": False}, "block": 2}
    return FeatureSetSpec("image/block_2", [ArraySpec("cls", (3,), ("dim",), "float32")], made_by)


def write_cls(store: FeatureStore, *rows: int) -> None:
    values = np.stack([np.full(3, row, dtype=np.float32) for row in rows])
    StoreWriter(store).write(
        "image/block_2", rows, {"cls": values}, sources=[source(row) for row in rows], notes=[""] * len(rows)
    )


def files_of(store: FeatureStore, name: str) -> dict[Path, bytes]:
    groups = ("features", "status", "problem", "source")
    return {
        path: path.read_bytes() for group in groups for path in (store.path / group / name).rglob("*") if path.is_file()
    }


def test_a_set_is_added_without_touching_the_others(store: FeatureStore) -> None:
    write(store, 0, 1)
    before, used = files_of(store, "video"), store.fingerprint_of(["video"])
    store.add_feature_set(cls_spec())
    write_cls(store, 1)
    reopened = FeatureStore.open(store.path)
    assert reopened.feature_sets == ("video", "image/block_2")
    assert files_of(store, "video") == before
    assert reopened.fingerprint_of(["video"]) == used != reopened.fingerprint
    np.testing.assert_array_equal(reopened.rows("train", feature_sets=["video", "image/block_2"]), [1])
    np.testing.assert_array_equal(reopened.read("image/block_2/cls", [1]), [[1, 1, 1]])


def test_a_replaced_set_has_no_rows_and_another_fingerprint(store: FeatureStore) -> None:
    write(store, 0, 1)
    store.add_feature_set(cls_spec())
    write_cls(store, 0, 1)
    before, used = store.fingerprint_of(["image/block_2"]), store.fingerprint_of(["video"])
    store.replace_feature_set(cls_spec("larger"))
    reopened = FeatureStore.open(store.path)
    assert (reopened.status("image/block_2") == Status.MISSING).all()
    assert reopened.fingerprint_of(["image/block_2"]) != before
    assert reopened.fingerprint_of(["video"]) == used
    np.testing.assert_array_equal(reopened.rows("train", feature_sets=["video"]), [0, 1])
    with pytest.raises(StoreError, match="have no image/block_2 features"):
        reopened.read("image/block_2/cls", [0])


def test_forgotten_rows_are_missing_and_others_stay(store: FeatureStore) -> None:
    write(store, 0, 1, 2)
    store.forget("video", [1, 4])
    np.testing.assert_array_equal(FeatureStore.open(store.path).status("video"), [1, 0, 1, 0, 0])


def test_the_files_behind_each_row_are_kept(store: FeatureStore) -> None:
    write(store, 0, 3)
    reopened = FeatureStore.open(store.path)
    assert reopened.sources("video", [3, 1, 0]) == [source(3), (), source(0)]
    StoreWriter(reopened).renew_sources("video", {3: source(4)})
    assert reopened.sources("video", [3]) == [source(4)]


def test_what_a_backbone_failed_on_stays_missing_with_its_reason(store: FeatureStore) -> None:
    StoreWriter(store).report("video", 2, Status.MISSING, reason="the backbone failed on it")
    assert store.status("video")[2] == Status.MISSING
    assert store.notes("video") == {"day/002": "the backbone failed on it"}
    write(store, 2)
    assert store.notes("video") == {}


def test_the_noun_is_remembered_and_not_in_the_fingerprint(store: FeatureStore) -> None:
    before = store.fingerprint
    assert store.noun == "sample"
    store.set_noun("part")
    reopened = FeatureStore.open(store.path)
    assert (reopened.noun, reopened.fingerprint) == ("part", before)
    with pytest.raises(ValueError, match="noun"):
        store.set_noun("part\x1b[31m")


def test_batching_is_remembered_and_not_in_the_fingerprint(store: FeatureStore) -> None:
    before = store.fingerprint
    store.set_batching({"group_size": 4})
    reopened = FeatureStore.open(store.path)
    assert reopened.batching == {"group_size": 4}
    assert reopened.fingerprint == before


def test_a_manifest_that_was_changed_by_hand_is_refused(store: FeatureStore) -> None:
    path = store.path / "zarr.json"
    path.write_text(path.read_text().replace('"tiny"', '"tina"'))
    with pytest.raises(StoreError, match="does not agree with its own checksum"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(
    ("before", "after"),
    [('"num_rows": 5', '"num_rows": 4'), ('"created": "2', '"created": "1'), ('"weldcache"', '"weldcache'), ("}", "")],
)
def test_any_change_of_the_description_is_damage(store: FeatureStore, before: str, after: str) -> None:
    path = store.path / "zarr.json"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(StoreError, match="damaged"):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(("held", "asked"), [("image/block_2", "image"), ("video", "video/grid")])
def test_a_set_cannot_lie_inside_another(store: FeatureStore, held: str, asked: str) -> None:
    """Zarr would delete the inner one to make the outer one."""
    store.add_feature_set(cls_spec())
    write(store, 0)
    write_cls(store, 0)
    with pytest.raises(StoreError, match=rf"has features {held}, so others cannot be named {asked}"):
        store.add_feature_set(FeatureSetSpec(asked, cls_spec().arrays, {}))
    reopened = FeatureStore.open(store.path)
    np.testing.assert_array_equal(reopened.rows("train", feature_sets=["video", "image/block_2"]), [0])


@contextmanager
def interrupted(*functions: str, at: int) -> Iterator[None]:
    """Interrupt the store at one of its calls of these functions, counted together from 0."""
    steps = itertools.count()

    def stopping(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if next(steps) == at:
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in functions:
            patch.setattr(store_module, name, stopping(getattr(store_module, name)))
        yield


@pytest.mark.parametrize("step", range(7))
def test_replacing_a_set_can_be_interrupted_anywhere(store: FeatureStore, step: int) -> None:
    """Whatever the moment, the store is whole, without the set or with the new one, and the next attempt succeeds."""
    write(store, 0, 1)
    store.add_feature_set(cls_spec())
    write_cls(store, 0, 1)
    with (
        interrupted("create_array", "create_record_array", "write_json", "rmtree", at=step),
        pytest.raises(KeyboardInterrupt),
    ):
        store.replace_feature_set(cls_spec("larger"))
    reopened = FeatureStore.open(store.path)
    np.testing.assert_array_equal(reopened.rows("train", feature_sets=["video"]), [0, 1])
    if "image/block_2" in reopened.feature_sets:
        if reopened.manifest["features"]["image/block_2"]["made_by"]["backbone"]["model"] == "tiny":
            np.testing.assert_array_equal(reopened.read("image/block_2/cls", [1]), [[1, 1, 1]])
            reopened.replace_feature_set(cls_spec("larger"))
    else:
        reopened.add_feature_set(cls_spec("larger"))
    assert (reopened.status("image/block_2") == Status.MISSING).all()
    write_cls(reopened, 1)
    np.testing.assert_array_equal(FeatureStore.open(store.path).read("image/block_2/cls", [1]), [[1, 1, 1]])


@pytest.mark.parametrize("step", range(3))
def test_another_constant_can_be_interrupted_anywhere(store: FeatureStore, step: int) -> None:
    """Never one prompt's vector under another's name."""
    store.add_constant("text/prompt", np.full(3, 1, np.float32), made_by={"prompt": "good"})
    with interrupted("write_json", "rmtree", "fsync_tree", at=step), pytest.raises(KeyboardInterrupt):
        store.add_constant("text/prompt", np.full(3, 2, np.float32), made_by={"prompt": "bad"})
    reopened = FeatureStore.open(store.path)
    if "text/prompt" in reopened.constants:
        prompt = reopened.manifest["constants"]["text/prompt"]["made_by"]["prompt"]
        assert reopened.constant("text/prompt")[0] == {"good": 1, "bad": 2}[prompt]


def test_a_lost_constant_is_damage_and_not_zeros(store: FeatureStore) -> None:
    store.add_constant("text/prompt", np.full(3, 1, np.float32), made_by={"prompt": "good"})
    (store.path / "constants/text/prompt/c/0").unlink()
    with pytest.raises(StoreError, match=r"text/prompt is damaged \(a chunk is gone\)"):
        store.constant("text/prompt")


def test_the_array_lists_what_a_set_has(store: FeatureStore) -> None:
    assert {name: spec.row_bytes for name, spec in store.arrays("video").items()} == {"tokens": 48, "tokens_length": 4}
    assert store.array_spec("video/tokens").dtype == "float16"
    with pytest.raises(StoreError, match="no features audio; it has video"):
        store.arrays("audio")


@pytest.mark.parametrize(
    "column", ["targets/label", "index/keys", "index/attributes/CURRENT_A", "splits/official", "targets/class"]
)
def test_a_lost_chunk_of_the_index_is_damage_and_not_zeros(store: FeatureStore, column: str) -> None:
    """Labels that read as zero would make every weld a good one."""
    (store.path / column / "c/0").unlink()
    with pytest.raises(StoreError, match=rf"The index of the store is damaged .*{column}: a chunk is gone"):
        FeatureStore.open(store.path)


def test_a_row_that_was_read_and_then_forgotten_is_refused(store: FeatureStore) -> None:
    write(store, 0, 1)
    store.read("video/tokens", [0, 1])
    store.forget("video", [1])
    np.testing.assert_array_equal(store.read("video/tokens_length", [0]), [0])
    with pytest.raises(StoreError, match="1 of 2 rows have no video features, the first is day/001"):
        store.read("video/tokens", [0, 1])
