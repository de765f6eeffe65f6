"""Decoding in worker processes: tasks in, prepared tensors or the reason for their absence out, in order.

Workers are started by a fork server and hold no weights. PyTorch's loader moves the tensors through shared memory and
bounds how far the workers run ahead.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from ..cache.status import Status
from ..errors import DecodeError, WeldcacheError
from .modalities.modality import Prepared, Reader
from .plan import Task
from .workers import start_worker

_PREFETCH = 2  # groups that each worker may be ahead


@dataclass(frozen=True)
class Failure:
    """Why a modality of a sample has no features."""

    status: Status
    reason: str


@dataclass(frozen=True)
class ReadTask:
    """A task with what its files held, by modality."""

    task: Task
    prepared: Mapping[str, Prepared | Failure]


class _Groups(Dataset[list[ReadTask]]):
    def __init__(self, groups: Sequence[Sequence[Task]], readers: Mapping[str, Reader]) -> None:
        self._groups = groups
        self._readers = readers

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, position: int) -> list[ReadTask]:
        return [_read(task, self._readers) for task in self._groups[position]]


def read_groups(
    groups: Sequence[Sequence[Task]], *, readers: Mapping[str, Reader], workers: int
) -> Iterator[list[ReadTask]]:
    """Decode and prepare every group, in order, with `workers` processes (0: in this one).

    Raises:
        WeldcacheError: if a worker process dies.
    """
    parallel: dict[str, Any] = (
        {"multiprocessing_context": "forkserver", "prefetch_factor": _PREFETCH} if workers else {}
    )
    loader = DataLoader(
        _Groups(groups, readers),
        batch_size=None,
        num_workers=min(workers, len(groups)),
        worker_init_fn=_start_worker,
        **parallel,
    )
    try:
        yield from loader
    except (RuntimeError, EOFError, ConnectionError, FileNotFoundError) as error:
        # A death is told by the loader, or cuts a transfer short; what a reader raised comes as "Caught ...".
        told = not isinstance(error, RuntimeError) or "DataLoader worker (pid" in str(error)
        if not workers or not told or str(error).startswith("Caught "):
            raise
        raise WeldcacheError(
            f"A decode process died ({error}). Complete rows are safe: run the same command again, with "
            "--set extract.workers=1 if memory ran out."
        ) from error


def _start_worker(_: int) -> None:
    start_worker()


def _read(task: Task, readers: Mapping[str, Reader]) -> ReadTask:
    prepared: dict[str, Prepared | Failure] = {}
    for modality in sorted(task.decode):
        if modality in task.sample.absent:
            prepared[modality] = Failure(Status.ABSENT, task.sample.absent[modality])
            continue
        try:
            prepared[modality] = readers[modality](task.sample)
        except DecodeError as error:
            prepared[modality] = Failure(Status.UNREADABLE, str(error))
    return ReadTask(task=task, prepared=prepared)
