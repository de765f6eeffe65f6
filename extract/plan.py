"""What there is to do: which rows of which modalities, in groups whose make-up does not depend on what is done.

A group of rows goes through a backbone as one batch. Floating-point results depend, in their last bit, on the shape
of the batch, so groups are cut from the whole list of a split's rows, and an interrupted group is computed again as a
whole. So a store that was interrupted ends up byte for byte like one that was not.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..cache.status import Status
from ..cache.store import FeatureStore
from .sample import Sample


@dataclass(frozen=True)
class Task:
    """One row: which modalities to decode, and which of these to write (the others are computed for their group)."""

    row: int
    sample: Sample
    decode: frozenset[str]
    write: frozenset[str]


@dataclass(frozen=True)
class ExtractPlan:
    """Groups to do, and how much was done before."""

    groups: Sequence[Sequence[Task]]
    num_rows: int  # rows asked for
    num_todo: int  # rows with something to write
    bytes_todo: int


def plan_extraction(
    store: FeatureStore,
    samples: Sequence[Sample],
    *,
    splits: Sequence[str],
    row_bytes: Mapping[str, int],
    batch_size: int,
) -> ExtractPlan:
    """Plan the rows of `splits`; `row_bytes` names the modalities and says what a row of each takes.

    A row that was absent or unreadable is tried again: its file may have been mended since.
    """
    row_of = store.index.row_of()
    statuses = {modality: store.status(modality) for modality in row_bytes}
    groups: list[list[Task]] = []
    num_rows = 0
    for split in splits:
        chosen = [sample for sample in samples if sample.split == split]
        num_rows += len(chosen)
        for start in range(0, len(chosen), batch_size):
            members = chosen[start : start + batch_size]
            tasks = _group_tasks(members, [row_of[sample.key] for sample in members], statuses)
            if tasks:
                groups.append(tasks)
    written = [task for group in groups for task in group if task.write]
    return ExtractPlan(
        groups=groups,
        num_rows=num_rows,
        num_todo=len(written),
        bytes_todo=sum(row_bytes[modality] for task in written for modality in task.write),
    )


def _group_tasks(
    samples: Sequence[Sample], rows: Sequence[int], statuses: Mapping[str, NDArray[np.uint8]]
) -> list[Task]:
    interrupted = {
        modality for modality, status in statuses.items() if any(status[row] == Status.MISSING for row in rows)
    }
    tasks = []
    for sample, row in zip(samples, rows, strict=True):
        write = frozenset(modality for modality, status in statuses.items() if status[row] != Status.COMPLETE)
        tasks.append(Task(row=row, sample=sample, decode=write | interrupted, write=write))
    return [task for task in tasks if task.decode] if any(task.write for task in tasks) else []
