"""What there is to do: which rows of which feature sets, in groups whose make-up does not depend on what is done.

A group of rows goes through a backbone as one batch. Floating-point results depend, in their last bit, on the shape
of the batch, so groups are cut from the whole list of a split's rows, and an interrupted group is computed again as a
whole. So a store that was interrupted ends up byte for byte like one that was not.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cache.arrays import FeatureSetSpec
from ..cache.status import Status
from .sources.source import Sample

Statuses = Mapping[str, NDArray[np.uint8]]
"""`Status` of every row by feature set."""


@dataclass(frozen=True)
class Job:
    """One row: which features to decode, and which feature sets to write (others are computed for their group)."""

    row: int
    sample: Sample
    decode: frozenset[str]
    write: frozenset[str]


@dataclass(frozen=True)
class ExtractPlan:
    """Groups to do, and how much was done before."""

    groups: Sequence[Sequence[Job]]
    num_rows: int  # rows asked for
    rows_todo: Mapping[str, Mapping[str, int]]  # feature set -> split -> rows

    @property
    def jobs(self) -> list[Job]:
        """Rows with something to write."""
        return [job for group in self.groups for job in group if job.write]

    @property
    def num_todo(self) -> int:
        """How many rows have something to write."""
        return len(self.jobs)


def cut_groups(samples: Sequence[Sample], *, splits: Sequence[str], group_size: int) -> list[Sequence[Sample]]:
    """All groups of the samples of `splits`, done or not: the same list for everybody who asks for the same."""
    groups: list[Sequence[Sample]] = []
    for split in splits:
        chosen = [sample for sample in samples if sample.split == split]
        groups += [chosen[start : start + group_size] for start in range(0, len(chosen), group_size)]
    return groups


def plan_extraction(
    groups: Sequence[Sequence[Sample]],
    *,
    row_of: Mapping[str, int],
    statuses: Statuses,
    feature_sets: Mapping[str, Sequence[FeatureSetSpec]],
) -> ExtractPlan:
    """Plan what is missing of `groups`; `feature_sets` are those asked for, by the feature that they are made from.

    A row that was absent or unreadable is tried again: its file may have been mended since.
    """
    names = {feature: [spec.name for spec in specs] for feature, specs in feature_sets.items()}
    specs = [spec for of_feature in feature_sets.values() for spec in of_feature]
    # Of a large store nearly all groups are done; what a row of them lacks need not be asked.
    lacking = np.zeros(len(row_of), dtype=bool)
    for spec in specs:
        lacking |= statuses[spec.name] != Status.COMPLETE
    todo = []
    for group in groups:
        rows = [row_of[sample.key] for sample in group]
        if lacking[rows].any():
            todo.append(_group_jobs(group, rows, statuses, names))
    return ExtractPlan(
        groups=todo,
        num_rows=sum(map(len, groups)),
        rows_todo={spec.name: _count(todo, spec.name) for spec in specs},
    )


def _group_jobs(
    samples: Sequence[Sample], rows: Sequence[int], statuses: Statuses, names: Mapping[str, Sequence[str]]
) -> list[Job]:
    """What there is to do in a group of which something is."""
    interrupted = {
        feature
        for feature, sets in names.items()
        if any(statuses[name][row] == Status.MISSING for name in sets for row in rows)
    }
    jobs = []
    for sample, row in zip(samples, rows, strict=True):
        write = {
            feature: [name for name in sets if statuses[name][row] != Status.COMPLETE]
            for feature, sets in names.items()
        }
        jobs.append(
            Job(
                row=row,
                sample=sample,
                decode=frozenset(feature for feature, sets in write.items() if sets) | interrupted,
                write=frozenset(name for sets in write.values() for name in sets),
            )
        )
    return [job for job in jobs if job.decode]


def _count(groups: Sequence[Sequence[Job]], feature_set: str) -> dict[str, int]:
    return dict(Counter(job.sample.split for group in groups for job in group if feature_set in job.write))
