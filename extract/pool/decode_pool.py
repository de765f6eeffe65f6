"""Decoding in worker processes: samples in, prepared tensors or the reason for their absence out, in order.

Each process is served by a thread of this one, which hands it a sample, waits for the answer and, should the process
die or go beyond a limit, knows which sample it was at. A file that kills its decoder, or occupies it for ever, so costs
its own features and nothing else.
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
from ..features.kind import Reader
from ..plan import Job
from .decode_process import DecodeProcess, decode_context
from .decoder import Decoder, DecoderDiedError, DecodeThread, Limits, TooMuchError
from .read_job import Failure, ReadJob

_GROUPS_AHEAD = 2  # beside the one that is waited for
_JOBS_AHEAD = 3  # for each worker, where groups are smaller than that
_CHANCES = 2  # deaths of a process that a sample may be near before it is decoded alone
_FAILED_STARTS = 5  # in a row, and the machine is at fault


class DecodePool:
    """`workers` processes that decode; 0 decodes in a thread of this process. Use as a context manager.

    A decoder that dies (of a damaged file, of memory that ran out, by somebody's hand) is replaced and its sample
    decoded again. A sample near which two have died is decoded while nothing else is, one feature after the other. The
    feature that kills its decoder then too is unreadable; or missing, to be tried by the next run, where memory ran
    out, for that depends on what else runs and is no property of the file. What goes beyond a limit once is unreadable:
    to find out took long enough.
    """

    def __init__(self, readers: Mapping[str, Reader], *, workers: int, root: Path, limits: Limits) -> None:
        """`readers` by feature; the files that they read lie below `root`."""
        self.busy_seconds = 0.0  # that workers spent on what was delivered so far, summed
        self._readers = readers
        self._workers = workers
        self._root = root
        self._limits = limits
        self._at_once = max(workers, 1)
        self._threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="decode")
        self._seats = threading.Semaphore(self._at_once)  # one for each sample that is being decoded
        self._one_alone = threading.Lock()
        self._lock = threading.Lock()  # of what follows
        self._decoders: set[Decoder] = set()
        self._idle: list[Decoder] = []
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
            for decoder in self._decoders:
                decoder.kill()
        self._threads.shutdown(cancel_futures=True)
        for decoder in list(self._decoders):
            self._forget(decoder)

    def read(self, groups: Sequence[Sequence[Job]]) -> Iterator[list[ReadJob]]:
        """Decode and prepare every group, in order.

        Raises:
            WeldcacheError: if decode processes die before they can start, or cannot import the program.
            Exception: what a reader raised, other than `DecodeError`, with a note that names the sample; the traceback
                in the decode process is its cause.
        """
        if self._workers == 0:
            for group in groups:
                yield [self._charge(self._decode(job)) for job in group]
            return
        pending: deque[list[Future[ReadJob]]] = deque()
        upcoming = deque(groups)
        try:
            while upcoming or pending:
                while upcoming and self._has_room(pending):
                    pending.append([self._threads.submit(self._decode, job) for job in upcoming.popleft()])
                yield [self._charge(future.result()) for future in pending.popleft()]
        finally:
            for future in chain.from_iterable(pending):
                future.cancel()

    def _has_room(self, pending: Collection[Collection[object]]) -> bool:
        return len(pending) <= _GROUPS_AHEAD or sum(map(len, pending)) < _JOBS_AHEAD * self._workers

    def _charge(self, read: ReadJob) -> ReadJob:
        self.busy_seconds += read.seconds
        return read

    def _decode(self, job: Job) -> ReadJob:
        """Runs in a thread of the pool, or in the caller's where there are no processes."""
        given_up: list[ReadJob] = []
        rest, deaths = job, 0
        while deaths < _CHANCES:
            try:
                with self._seats:
                    return _joined(job, [*given_up, self._read(rest)])
            except TooMuchError as error:
                given_up.append(self._lost(job, error.feature, Status.UNREADABLE, str(error)))
                rest = replace(rest, decode=rest.decode - {error.feature})
            except DecoderDiedError as death:
                deaths += 1
                say(f"A decoder died ({death}). Another one decodes {job.sample.key} again.")
        # Each feature for itself, so that only the one that kills its decoder is lost.
        with self._all_seats():
            return _joined(job, [*given_up, *(self._decode_feature(rest, name) for name in sorted(rest.decode))])

    def _decode_feature(self, job: Job, feature: str) -> ReadJob:
        try:
            return self._read(replace(job, decode=frozenset({feature})))
        except TooMuchError as error:
            return self._lost(job, feature, Status.UNREADABLE, str(error))
        except DecoderDiedError as death:
            if death.for_memory:
                reason = f"There was not the memory to decode its {feature} ({death}), also when nothing else was."
                return self._lost(job, feature, Status.MISSING, reason)
            reason = f"Decoding its {feature} killed the decode process ({death}), also when nothing else was decoded."
            return self._lost(job, feature, Status.UNREADABLE, reason)

    def _lost(self, job: Job, feature: str, status: Status, reason: str) -> ReadJob:
        say(f"{job.sample.key}: {reason}")
        return ReadJob(job, prepared={feature: Failure(status, reason)}, sources={feature: ()})

    @contextmanager
    def _all_seats(self) -> Iterator[None]:
        """Wait until no sample is being decoded, and let none begin: memory may be what ran out."""
        with self._one_alone:
            for _ in range(self._at_once):
                self._seats.acquire()
            try:
                yield
            finally:
                self._seats.release(self._at_once)

    def _read(self, job: Job) -> ReadJob:
        """Read with any decoder; raises CancelledError where one died because the pool ends."""
        decoder = self._idle_decoder()
        try:
            read = decoder.read(job)
        except (DecoderDiedError, TooMuchError, KeyboardInterrupt):
            self._forget(decoder)
            self._raise_if_stopping()
            raise
        except Exception:
            self._rest(decoder)
            raise
        self._rest(decoder)
        return read

    def _rest(self, decoder: Decoder) -> None:
        with self._lock:
            self._idle.append(decoder)

    def _idle_decoder(self) -> Decoder:
        """One that waits for work; else a new one."""
        while True:
            with self._lock:
                self._raise_if_stopping()
                if self._idle:
                    return self._idle.pop()
            try:
                return self._new_decoder()
            except DecoderDiedError as death:
                self._raise_if_stopping()
                self._count_failed_start(death)

    def _new_decoder(self) -> Decoder:
        with self._lock:
            self._raise_if_stopping()
            decoder = self._start()
            self._decoders.add(decoder)
        try:
            decoder.wait_until_ready()
        except (DecoderDiedError, WeldcacheError):
            self._forget(decoder)
            raise
        self._failed_starts = 0
        return decoder

    def _start(self) -> Decoder:
        if self._workers == 0:
            return DecodeThread(self._readers, root=self._root, limits=self._limits)
        return DecodeProcess(self._context, readers=self._readers, root=self._root, limits=self._limits)

    def _count_failed_start(self, death: DecoderDiedError) -> None:
        with self._lock:
            self._failed_starts += 1
            if self._failed_starts < _FAILED_STARTS:
                return
        fewer = "1" if self._workers > 1 else "0 (which decodes in the main process)"
        raise WeldcacheError(
            f"Decode processes die before they can start, {_FAILED_STARTS} in a row ({death}); what they printed is "
            f"above. Complete rows are safe: run the same command again, with --set extract.workers={fewer}."
        ) from death

    def _forget(self, decoder: Decoder) -> None:
        with self._lock:
            self._decoders.remove(decoder)
        decoder.kill()
        decoder.close()

    def _raise_if_stopping(self) -> None:
        if self._stopping:
            raise CancelledError


def _joined(job: Job, parts: Sequence[ReadJob]) -> ReadJob:
    """The job, read feature by feature."""
    return ReadJob(
        job=job,
        prepared={feature: item for part in parts for feature, item in part.prepared.items()},
        sources={feature: files for part in parts for feature, files in part.sources.items()},
        seconds=sum(part.seconds for part in parts),
    )
