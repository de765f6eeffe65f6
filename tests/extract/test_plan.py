"""The plan: what is missing is written, and what its neighbours need is computed again, in groups that never shift."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import Status
from weldcache.extract.plan import ExtractPlan, Statuses, cut_groups, plan_extraction
from weldcache.extract.sources.source import Sample, Split

SPLIT_OF = ("train", "val", "train", "train", "test", "train", "train")  # by row
States = dict[tuple[str, int], Status]


def feature_set(name: str, row_bytes: int) -> FeatureSetSpec:
    return FeatureSetSpec(name, [ArraySpec("a", (row_bytes,), ("byte",), "uint8")], {})


FEATURE_SETS = {
    "audio": [feature_set("audio", 10)],
    "image": [feature_set("image/block_2", 100), feature_set("image/block_4", 100)],
}
NAMES = {modality: [spec.name for spec in specs] for modality, specs in FEATURE_SETS.items()}
EVERY_SET = [name for names in NAMES.values() for name in names]


def sample(row: int) -> Sample:
    split: Split = SPLIT_OF[row]  # type: ignore[assignment]
    return Sample(key=f"day/{row}", split=split, group="day", files={})


SAMPLES = [sample(row) for row in range(len(SPLIT_OF))]
COMPLETE: States = {(name, row): Status.COMPLETE for name in EVERY_SET for row in range(len(SPLIT_OF))}


def statuses_of(states: States) -> Statuses:
    rows = range(len(SPLIT_OF))
    return {
        name: np.array([states.get((name, row), Status.MISSING) for row in rows], dtype=np.uint8) for name in EVERY_SET
    }


def plan(
    states: States,
    *,
    splits: tuple[str, ...] = ("train", "val", "test"),
    group_size: int = 2,
    samples: list[Sample] = SAMPLES,
) -> ExtractPlan:
    return plan_extraction(
        cut_groups(samples, splits=splits, group_size=group_size),
        row_of={sample.key: row for row, sample in enumerate(SAMPLES)},
        statuses=statuses_of(states),
        feature_sets=FEATURE_SETS,
    )


def members(found: ExtractPlan) -> list[list[int]]:
    return [[job.row for job in group] for group in found.groups]


def test_an_empty_store_is_done_split_by_split_in_the_order_of_the_data() -> None:
    found = plan({})
    assert members(found) == [[0, 2], [3, 5], [6], [1], [4]]
    assert (found.num_rows, found.num_todo) == (7, 7)
    assert found.rows_todo["audio"] == {"train": 5, "val": 1, "test": 1}
    assert all(job.decode == {"audio", "image"} and job.write == set(EVERY_SET) for job in found.jobs)


def test_only_the_splits_asked_for() -> None:
    found = plan({}, splits=("val",))
    assert (members(found), found.num_rows) == ([[1]], 1)


def test_a_complete_store_has_nothing_to_do() -> None:
    found = plan(COMPLETE)
    assert (found.groups, found.num_rows, found.num_todo) == ([], 7, 0)
    assert not any(split for of_set in found.rows_todo.values() for split in of_set.values())


def test_an_interrupted_group_is_computed_whole_and_written_where_missing() -> None:
    found = plan(COMPLETE | {("image/block_4", 3): Status.MISSING})
    assert members(found) == [[3, 5]]
    interrupted, neighbour = found.groups[0]
    assert (interrupted.decode, interrupted.write) == ({"image"}, {"image/block_4"})
    assert (neighbour.decode, neighbour.write) == ({"image"}, frozenset())
    assert found.num_todo == 1
    assert [sum(found.rows_todo[name].values()) for name in ("image/block_4", "image/block_2")] == [1, 0]


def test_another_block_is_added_to_every_row_and_nothing_else() -> None:
    found = plan({place: state for place, state in COMPLETE.items() if place[0] != "image/block_4"})
    assert found.num_todo == 7
    assert all((job.decode, job.write) == ({"image"}, {"image/block_4"}) for job in found.jobs)


@pytest.mark.parametrize("status", [Status.ABSENT, Status.UNREADABLE])
def test_what_could_not_be_had_is_tried_again_alone(status: Status) -> None:
    found = plan(COMPLETE | {("audio", 5): status})
    assert members(found) == [[5]]
    assert (found.groups[0][0].decode, found.groups[0][0].write) == ({"audio"}, {"audio"})


@given(
    states=st.dictionaries(
        st.tuples(st.sampled_from(EVERY_SET), st.integers(0, len(SPLIT_OF) - 1)), st.sampled_from(Status)
    ),
    group_size=st.integers(1, 8),
)
def test_whatever_is_done_the_rest_is_planned_once_in_the_same_groups(states: States, group_size: int) -> None:
    found = plan(states, group_size=group_size)
    fresh = {tuple(group) for group in members(plan({}, group_size=group_size))}
    jobs = [job for group in found.groups for job in group]
    assert len({job.row for job in jobs}) == len(jobs)
    written = {(name, job.row) for job in jobs for name in job.write}
    every = {(name, row) for name in EVERY_SET for row in range(len(SPLIT_OF))}
    assert written == {place for place in every if states.get(place, Status.MISSING) != Status.COMPLETE}
    for group in found.groups:
        whole = next(rows for rows in fresh if group[0].row in rows)
        for modality, names in NAMES.items():
            decoded = tuple(job.row for job in group if modality in job.decode)
            if any(states.get((name, row), Status.MISSING) == Status.MISSING for name in names for row in whole):
                assert decoded == whole


def test_the_store_may_hold_rows_that_the_data_no_longer_has() -> None:
    assert members(plan({}, splits=("train", "val"), group_size=4, samples=SAMPLES[:2])) == [[0], [1]]
