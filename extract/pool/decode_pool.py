"""Decoding in worker processes: welds in, prepared tensors or the reason for their absence out, in order.

Each process is served by a thread of this one, which hands it a weld, waits for the answer and, should the process die,
knows which weld it died of. A damaged file that kills its decoder so costs its own features and nothing else.
"""

import threading
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType

from ...cache.status import Status
from ...errors import WeldcacheError
from ...progress import say
from ..modalities.modality import Reader
from ..plan import Task
from .decode_process import DecodeProcess, DecodeProcessDied, decode_context
from .read_task import Failure, ReadTask, SampleFiles, read_task

_GROUPS_AHEAD = 2  # beside the one that is waited for
_TASKS_AHEAD = 3  # for each worker, where groups are smaller than that
_CHANCES = 2  # deaths of a process that a weld may be near before it is decoded alone
_FAILED_STARTS = 5  # in a row, and the machine is at fault


class DecodePool:
    """`workers` processes that decode; 0 decodes in this process. Use as a context manager.

    A process that dies (of a damaged file, of memory that ran out, by somebody's hand) is replaced and its weld decoded
    again. A weld near which two have died is decoded while nothing else is, one modality after the other, and the
    modality that kills its process then too is unreadable.
    """

    def __init__(self, readers: Mapping[str, Reader], *, workers: int, root: Path) -> None:
        """`readers` by modality; the files that they read lie below `root`."""
        self.busy_seconds = 0.0  # that workers spent on what was delivered so far, summed
        self._readers = readers
        self._workers = workers
        self._root = root
        self._threads = ThreadPoolExecutor(max(workers, 1), thread_name_prefix="decode")
        self._seats = threading.Semaphore(workers)  # one for each weld that is being decoded
        self._one_alone = threading.Lock()
        self._lock = threading.Lock()  # of what follows
        self._processes: set[DecodeProcess] = set()
        self._idle: list[DecodeProcess] = []
        self._failed_starts = 0
        self._stopping = False

    def __enter__(self) -> "DecodePool":
        if self._workers:
            self._context = decode_context(self._readers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes at once, whatever they do: they hold nothing that is worth waiting for."""
        with self._lock:
            self._stopping = True
            for process in self._processes:
                process.kill()
        self._threads.shutdown(cancel_futures=True)
        for process in list(self._processes):
            self._forget(process)

    def read(self, groups: Sequence[Sequence[Task]]) -> Iterator[list[ReadTask]]:
        """Decode and prepare every group, in order.

        Raises:
            WeldcacheError: if decode processes die before they can start.
            Exception: what a reader raised, other than `DecodeError`, with a note that names the weld; the traceback
                in the decode process is its cause.
        """
        if self._workers == 0:
            for group in groups:
                yield [self._charge(read_task(task, readers=self._readers, root=self._root)) for task in group]
            return
        pending: deque[list[Future[ReadTask]]] = deque()
        upcoming = deque(groups)
        try:
            while upcoming or pending:
                while upcoming and self._has_room(pending):
                    pending.append([self._threads.submit(self._decode, task) for task in upcoming.popleft()])
                yield [self._charge(future.result()) for future in pending.popleft()]
        finally:
            for future in chain.from_iterable(pending):
                future.cancel()

    def _has_room(self, pending: Collection[Collection[object]]) -> bool:
        return len(pending) <= _GROUPS_AHEAD or sum(map(len, pending)) < _TASKS_AHEAD * self._workers

    def _charge(self, read: ReadTask) -> ReadTask:
        self.busy_seconds += read.seconds
        return read

    def _decode(self, task: Task) -> ReadTask:
        """Runs in a thread of the pool."""
        for _ in range(_CHANCES):
            try:
                with self._seats:
                    return self._read(task)
            except DecodeProcessDied as death:
                say(f"A decode process died ({death}). Another one decodes {task.sample.key} again.")
        with self._all_seats():
            return self._decode_alone(task)

    def _decode_alone(self, task: Task) -> ReadTask:
        """Each modality for itself, so that only the one that kills its process is lost."""
        parts = [self._decode_modality(task, modality) for modality in sorted(task.decode)]
        return ReadTask(
            task=task,
            prepared={modality: item for part in parts for modality, item in part.prepared.items()},
            sources={modality: files for part in parts for modality, files in part.sources.items()},
            seconds=sum(part.seconds for part in parts),
        )

    def _decode_modality(self, task: Task, modality: str) -> ReadTask:
        part = replace(task, decode=frozenset({modality}))
        try:
            return self._read(part)
        except DecodeProcessDied as death:
            reason = f"Decoding its {modality} killed the decode process ({death}), also when nothing else was decoded."
            say(f"{task.sample.key}: {reason}")
            sources = SampleFiles(self._root).of(task.sample, reader=self._readers[modality])
            return ReadTask(
                task=part,
                prepared={modality: Failure(Status.UNREADABLE, reason)},
                sources={modality: () if isinstance(sources, Failure) else sources},
            )

    @contextmanager
    def _all_seats(self) -> Iterator[None]:
        """Wait until no weld is being decoded, and let none begin: memory may be what ran out."""
        with self._one_alone:
            for _ in range(self._workers):
                self._seats.acquire()
            try:
                yield
            finally:
                self._seats.release(self._workers)

    def _read(self, task: Task) -> ReadTask:
        """Read in any process; raises CancelledError where one died because the pool ends."""
        process = self._idle_process()
        try:
            return process.read(task)
        except DecodeProcessDied:
            self._forget(process)
            self._raise_if_stopping()
            raise
        finally:
            with self._lock:
                if process in self._processes:
                    self._idle.append(process)

    def _idle_process(self) -> DecodeProcess:
        """One that waits for work; else a new one."""
        while True:
            with self._lock:
                self._raise_if_stopping()
                if self._idle:
                    return self._idle.pop()
            try:
                return self._new_process()
            except DecodeProcessDied as death:
                self._raise_if_stopping()
                self._count_failed_start(death)

    def _new_process(self) -> DecodeProcess:
        with self._lock:
            self._raise_if_stopping()
            process = DecodeProcess(self._context, readers=self._readers, root=self._root)
            self._processes.add(process)
        try:
            process.wait_until_ready()
        except DecodeProcessDied:
            self._forget(process)
            raise
        self._failed_starts = 0
        return process

    def _count_failed_start(self, death: DecodeProcessDied) -> None:
        with self._lock:
            self._failed_starts += 1
            if self._failed_starts < _FAILED_STARTS:
                return
        fewer = "1" if self._workers > 1 else "0 (which decodes in the main process)"
        raise WeldcacheError(
            f"Decode processes die before they can start, {_FAILED_STARTS} in a row ({death}). Complete rows are "
            f"safe: run the same command again, with --set extract.workers={fewer} if memory ran out."
        ) from death

    def _forget(self, process: DecodeProcess) -> None:
        with self._lock:
            self._processes.remove(process)
        process.close()

    def _raise_if_stopping(self) -> None:
        if self._stopping:
            raise CancelledError
