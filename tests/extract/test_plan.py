"""The plan: what is missing is written, and what its neighbours need is computed again, in groups that never shift."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import UInt8

from weldcache.cache.index import index_of
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.extract.plan import ExtractPlan, plan_extraction
from weldcache.extract.sample import Sample, Split

MODALITIES = ("video", "audio")
ROW_BYTES = {"video": 100, "audio": 10}
SPLIT_OF = ("train", "val", "train", "train", "test", "train", "train")  # by row
States = dict[tuple[str, int], Status]


def sample(row: int) -> Sample:
    split: Split = SPLIT_OF[row]  # type: ignore[assignment]
    return Sample(key=f"day/{row}", split=split, class_name="good", session="day", label=0, files={})


SAMPLES = [sample(row) for row in range(len(SPLIT_OF))]


class HeldStore(FeatureStore):
    """A store that says of itself what a test wants."""

    states: States

    def status(self, modality: str) -> UInt8[np.ndarray, " row"]:
        held = [self.states.get((modality, row), Status.MISSING) for row in range(len(self.index))]
        return np.array(held, dtype=np.uint8)


@pytest.fixture(scope="module")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[States], FeatureStore]:
    index = index_of(
        keys=[sample.key for sample in SAMPLES],
        splits=list(SPLIT_OF),
        class_names=["good"] * len(SAMPLES),
        sessions=["day"] * len(SAMPLES),
        labels=[0] * len(SAMPLES),
        attributes={},
    )
    store = FeatureStore.create(tmp_path_factory.mktemp("plan") / "s.zarr", index=index)

    def make(states: States) -> FeatureStore:
        held = copy.copy(store)
        held.__class__ = HeldStore
        held.states = states  # type: ignore[attr-defined]
        return held

    return make


def plan(
    store: FeatureStore, *, splits: tuple[str, ...] = ("train", "val", "test"), batch_size: int = 2
) -> ExtractPlan:
    return plan_extraction(store, SAMPLES, splits=splits, row_bytes=ROW_BYTES, batch_size=batch_size)


def members(found: ExtractPlan) -> list[list[int]]:
    return [[task.row for task in group] for group in found.groups]


def test_an_empty_store_is_done_split_by_split_in_the_order_of_the_data(
    make_store: Callable[[States], FeatureStore],
) -> None:
    found = plan(make_store({}))
    assert members(found) == [[0, 2], [3, 5], [6], [1], [4]]
    assert (found.num_rows, found.num_todo, found.bytes_todo) == (7, 7, 7 * 110)
    assert all(task.write == task.decode == {"video", "audio"} for group in found.groups for task in group)


def test_only_the_splits_asked_for(make_store: Callable[[States], FeatureStore]) -> None:
    found = plan(make_store({}), splits=("val",))
    assert (members(found), found.num_rows) == ([[1]], 1)


def test_a_complete_store_has_nothing_to_do(make_store: Callable[[States], FeatureStore]) -> None:
    found = plan(make_store({(name, row): Status.COMPLETE for name in MODALITIES for row in range(7)}))
    assert (found.groups, found.num_rows, found.num_todo, found.bytes_todo) == ([], 7, 0, 0)


def test_an_interrupted_group_is_computed_whole_and_written_where_missing(
    make_store: Callable[[States], FeatureStore],
) -> None:
    states = {(name, row): Status.COMPLETE for name in MODALITIES for row in range(7)}
    states["video", 3] = Status.MISSING
    found = plan(make_store(states))
    assert members(found) == [[3, 5]]
    interrupted, neighbour = found.groups[0]
    assert (interrupted.decode, interrupted.write) == ({"video"}, {"video"})
    assert (neighbour.decode, neighbour.write) == ({"video"}, frozenset())
    assert (found.num_todo, found.bytes_todo) == (1, 100)


@pytest.mark.parametrize("status", [Status.ABSENT, Status.UNREADABLE])
def test_what_could_not_be_had_is_tried_again_alone(
    make_store: Callable[[States], FeatureStore], status: Status
) -> None:
    states = {(name, row): Status.COMPLETE for name in MODALITIES for row in range(7)}
    states["audio", 5] = status
    found = plan(make_store(states))
    assert members(found) == [[5]]
    assert (found.groups[0][0].decode, found.groups[0][0].write) == ({"audio"}, {"audio"})


@given(
    states=st.dictionaries(
        st.tuples(st.sampled_from(MODALITIES), st.integers(0, len(SPLIT_OF) - 1)), st.sampled_from(Status)
    ),
    batch_size=st.integers(1, 8),
)
def test_whatever_is_done_the_rest_is_planned_once_in_the_same_groups(
    make_store: Callable[[States], FeatureStore], states: States, batch_size: int
) -> None:
    found = plan(make_store(states), batch_size=batch_size)
    fresh = {tuple(group) for group in members(plan(make_store({}), batch_size=batch_size))}
    tasks = [task for group in found.groups for task in group]
    assert len({task.row for task in tasks}) == len(tasks)
    written = {(modality, task.row) for task in tasks for modality in task.write}
    every = {(modality, row) for modality in MODALITIES for row in range(len(SPLIT_OF))}
    assert written == {place for place in every if states.get(place, Status.MISSING) != Status.COMPLETE}
    for group in found.groups:
        whole = next(rows for rows in fresh if group[0].row in rows)
        for modality in MODALITIES:
            decoded = tuple(task.row for task in group if modality in task.decode)
            if any(states.get((modality, row), Status.MISSING) == Status.MISSING for row in whole):
                assert decoded == whole


def test_the_store_may_hold_rows_that_the_data_no_longer_has(make_store: Callable[[States], FeatureStore]) -> None:
    found = plan_extraction(make_store({}), SAMPLES[:2], splits=("train", "val"), row_bytes=ROW_BYTES, batch_size=4)
    assert members(found) == [[0], [1]]
