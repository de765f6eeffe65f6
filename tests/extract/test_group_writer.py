"""What does not fit its storage type costs its own row, and the others nothing."""

import time
from pathlib import Path

import pytest
import torch

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.errors import PrecisionError
from weldcache.extract.batching import Encoded
from weldcache.extract.features.kind import Prepared
from weldcache.extract.group_writer import GroupWriter
from weldcache.extract.plan import Job
from weldcache.extract.pool.read_job import ReadJob
from weldcache.extract.sources.source import Sample
from weldcache.tests.toy import index_of

NUM_ROWS = 4
TOO_LARGE = 70_000.0


def source_of(row: int) -> SourceFile:
    return SourceFile(f"day/{row:03d}.avi", 10, 20, f"{row:064x}")


def store_at(path: Path) -> FeatureStore:
    index = index_of(
        keys=[f"day/{row:03d}" for row in range(NUM_ROWS)],
        splits=["train"] * NUM_ROWS,
        class_names=["good"] * NUM_ROWS,
        groups=["day"] * NUM_ROWS,
        labels=[0] * NUM_ROWS,
        attributes={},
    )
    store = FeatureStore.create(path, index=index)
    arrays = [ArraySpec("tokens", (2, 3), ("time", "dim"), "float16"), ArraySpec("mean", (3,), ("dim",), "float16")]
    store.add_feature_set(FeatureSetSpec("video", arrays, {"backbone": {"model": "tiny"}}))
    return store


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return store_at(tmp_path / "features.zarr")


def features(*rows: int) -> dict[str, torch.Tensor]:
    """Random values, those of a row the same whatever other rows there are."""
    tokens = torch.randn(NUM_ROWS, 2, 3, generator=torch.Generator().manual_seed(0))[list(rows)]
    return {"tokens": tokens, "mean": tokens.mean(1)}


def group_of(*rows: int, wanted: tuple[int, ...] = ()) -> list[ReadJob]:
    """Tasks of rows whose film could be read."""
    return [
        ReadJob(
            job=Job(
                row=row,
                sample=Sample(f"day/{row:03d}", "train", "day", {}),
                decode=frozenset({"video"}),
                write=frozenset({"video"} if row in (wanted or rows) else ()),
            ),
            prepared={"video": Prepared({})},
            sources={"video": (source_of(row),)},
        )
        for row in rows
    ]


def write(store: FeatureStore, made: dict[str, torch.Tensor], *rows: int, wanted: tuple[int, ...] = ()) -> None:
    """Write a group; `wanted` are the rows that lack something, all of them unless told."""
    group = group_of(*rows, wanted=wanted)
    with GroupWriter(store, {"video": ["video"]}) as writer:
        writer.write(group, {"video": Encoded(rows, {"video": made})}, lambda: 0.0)


@pytest.mark.parametrize("value", [TOO_LARGE, torch.nan])
def test_a_guilty_row_is_reported_and_the_others_are_stored_as_ever(
    store: FeatureStore, tmp_path: Path, value: float
) -> None:
    made = features(0, 1, 2, 3)
    made["tokens"][1, 0, 2] = made["mean"][3, 0] = value
    write(store, made, 0, 1, 2, 3)
    assert store.status("video").tolist() == [Status.COMPLETE, Status.MISSING, Status.COMPLETE, Status.MISSING]
    notes = store.notes("video")
    assert list(notes) == ["day/001", "day/003"]
    assert notes["day/001"].startswith("day/001, video, array tokens: ")
    assert notes["day/003"].startswith("day/003, video, array mean: ")
    assert ("cache.dtype=bfloat16" in notes["day/001"]) == (value == TOO_LARGE)
    assert store.sources("video", [1]) == [(source_of(1),)]
    whole = store_at(tmp_path / "whole.zarr")
    write(whole, features(0, 1, 2, 3), 0, 1, 2, 3)
    for array in ("tokens", "mean"):
        for chunk in (f"c.{row}" for row in (0, 2)):
            names = [path.name for path in (whole.path / "features/video" / array).glob(f"{chunk}*")]
            assert len(names) == 1
            stored = [(one.path / "features/video" / array / names[0]).read_bytes() for one in (store, whole)]
            assert stored[0] == stored[1]


def test_a_group_of_which_no_row_fits_ends_the_run(store: FeatureStore) -> None:
    made = features(0, 1)
    made["tokens"][:, 0, 0] = TOO_LARGE
    with pytest.raises(PrecisionError, match=r"day/000, video, array tokens: .*cache.dtype=bfloat16"):
        write(store, made, 0, 1)
    assert store.status("video").tolist() == [Status.MISSING] * NUM_ROWS
    assert store.notes("video") == {}


def test_a_single_row_that_does_not_fit_is_reported(store: FeatureStore) -> None:
    made = features(2)
    made["mean"][0, 1] = TOO_LARGE
    write(store, made, 2)
    assert list(store.notes("video")) == ["day/002"]


def test_rows_that_are_tried_again_are_judged_among_those_that_are_complete(store: FeatureStore) -> None:
    made = features(0, 1, 2)
    made["tokens"][1:] = TOO_LARGE
    write(store, made, 0, 1, 2)
    write(store, made, 0, 1, 2, wanted=(1, 2))
    assert store.status("video")[:3].tolist() == [Status.COMPLETE, Status.MISSING, Status.MISSING]
    write(store, features(0, 1, 2), 0, 1, 2, wanted=(1, 2))
    assert (store.status("video")[:3] == Status.COMPLETE).all()
    assert store.notes("video") == {}


def test_groups_that_come_quickly_are_recorded_together_and_whatever_ends_the_run(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded: list[int] = []
    record = StoreWriter.record
    monkeypatch.setattr(
        StoreWriter, "record", lambda writer, records: (recorded.append(len(records)), record(writer, records))
    )
    with pytest.raises(KeyboardInterrupt), GroupWriter(store, {"video": ["video"]}) as writer:
        for row in range(3):
            writer.write(group_of(row), {"video": Encoded([row], {"video": features(row)})}, lambda: 0.0)
        assert store.status("video").tolist() == [Status.MISSING] * NUM_ROWS
        raise KeyboardInterrupt
    assert recorded == [3] and store.status("video").tolist() == [Status.COMPLETE] * 3 + [Status.MISSING]


def test_records_do_not_wait_for_longer_than_a_second_of_work(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with GroupWriter(store, {"video": ["video"]}) as writer:
        for row in range(2):
            now += 0.7
            writer.write(group_of(row), {"video": Encoded([row], {"video": features(row)})}, lambda: 0.0)
        assert store.status("video")[:2].tolist() == [Status.COMPLETE] * 2
