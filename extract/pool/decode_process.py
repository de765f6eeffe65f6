"""One decode process: what runs in it, and its handle in the main process, which gives it one sample at a time."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from pathlib import Path

import psutil

from ...cache.status import SourceFile
from ...errors import WeldcacheError
from ..features.kind import Prepared, Reader
from ..plan import Job
from .decoder import TICK, DecoderDiedError, Limits, Watch
from .read_job import Failure, ReadJob, read_job
from .shared_tensors import Place, TensorKey, lay_out, map_shared, share
from .workers import start_worker, worker_context

_DYING_SECONDS = 10.0  # that a process may take to end once it was killed or has let go of its connection
_OUT_OF_MEMORY = 77  # exit status of a process whose memory ran out
_HOW_TO_GUARD = (
    "A decode process ended while it imported your program, which each of them does first; what it printed is above. "
    'Put the call of weldcache under a main guard (`if __name__ == "__main__":`) and run it from a file, not from '
    "standard input; or decode in the main process, with extract.workers=0."
)

# Starting a process and asking for an exit code both tidy multiprocessing's set of children, which has no lock.
_children = threading.Lock()


class WorkerTraceback(Exception):
    """The cause of what a reader raised in a decode process: the traceback there, with sample and feature."""


@dataclass(frozen=True)
class _Outcome:
    """A `ReadJob` less its job, which the main process has, and less its tensors, which lie in shared memory."""

    prepared: Mapping[str, Prepared | Failure]
    sources: Mapping[str, tuple[SourceFile, ...]]
    seconds: float
    places: Mapping[TensorKey, Place]


@dataclass(frozen=True)
class _Raised:
    """A reader raised what no damaged file explains."""

    error: Exception
    trace: str


def decode_context(readers: Mapping[str, Reader]) -> ForkServerContext:
    """What starts decode processes that have imported the modules of these readers and of all that they hold."""
    modules = {module for reader in readers.values() for module in _modules_of(reader)}
    return worker_context(preload=[__name__, *sorted(modules)])


def _modules_of(value: object) -> Iterator[str]:
    yield type(value).__module__
    if is_dataclass(value):
        for field in fields(value):
            yield from _modules_of(getattr(value, field.name))


class DecodeProcess:
    """A process that reads jobs: a `Decoder`."""

    def __init__(
        self, context: ForkServerContext, *, readers: Mapping[str, Reader], root: Path, limits: Limits
    ) -> None:
        """Start the process; see `decode_context`, `read_job`."""
        self._readers = readers
        self._root = root
        self._limits = limits
        self._connection, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there,), daemon=True)
        try:
            with there, _children:
                self._process.start()
        except (EOFError, OSError) as error:
            self._connection.close()
            raise DecoderDiedError(f"it could not be started: {error!r}") from error

    def wait_until_ready(self) -> None:
        """Return when the process has imported everything.

        Raises:
            DecoderDiedError: if it ended before that.
            WeldcacheError: if it ended while it imported the program that we run in, which is for that to mend.
        """
        try:
            self._receive()
        except DecoderDiedError as death:
            if death.exit_status:
                raise WeldcacheError(_HOW_TO_GUARD) from death
            raise
        self._send((self._readers, self._root))
        self._receive()
        self._memory_at_rest = self._memory()

    def read(self, job: Job) -> ReadJob:
        self._send(job)
        answer = self._watched_answer(Watch(job.sample.key, self._limits))
        if isinstance(answer, _Raised):
            raise answer.error from WorkerTraceback(f"in a decode process:\n{answer.trace}")
        assert isinstance(answer, _Outcome)
        return _with_tensors(job, answer, handle=self._receive_handle())

    def _watched_answer(self, watch: Watch) -> object:
        while True:
            while not self._connection.poll(TICK):
                watch.look(memory=self._memory() - self._memory_at_rest)
            message = self._receive()
            if not isinstance(message, str):
                return message
            watch.begin(message)

    def _memory(self) -> int:
        """Bytes that the process has in memory; 0 once it has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss)
        except psutil.Error:
            return 0

    def kill(self) -> None:
        with _children:
            self._process.kill()

    def close(self) -> None:
        self._connection.close()
        with _children:
            self._process.join(_DYING_SECONDS)
            if self._process.exitcode is not None:
                self._process.close()

    def _send(self, item: object) -> None:
        try:
            self._connection.send(item)
        except OSError:
            raise self._death() from None

    def _receive(self) -> object:
        try:
            return self._connection.recv()
        except (EOFError, OSError):
            raise self._death() from None

    def _receive_handle(self) -> int:
        try:
            return recv_handle(self._connection)
        except (EOFError, OSError):
            raise self._death() from None

    def _death(self) -> DecoderDiedError:
        with _children:
            self._process.join(_DYING_SECONDS)
            code = self._process.exitcode
        if code is None:
            return DecoderDiedError("it fell silent")
        if code == _OUT_OF_MEMORY:
            return DecoderDiedError("memory ran out", for_memory=True)
        if code >= 0:
            return DecoderDiedError(f"exit status {code}", exit_status=code)
        if -code == signal.SIGKILL:  # what Linux does to a process when memory runs out
            return DecoderDiedError("signal SIGKILL, as when memory runs out", for_memory=True)
        return DecoderDiedError(f"signal {signal.Signals(-code).name}")


def _with_tensors(job: Job, outcome: _Outcome, *, handle: int) -> ReadJob:
    try:
        tensors = map_shared(handle, outcome.places)
    finally:
        os.close(handle)
    prepared: dict[str, Prepared | Failure] = {}
    for feature, item in outcome.prepared.items():
        if isinstance(item, Prepared):
            item = replace(item, tensors={name: tensors[of, name] for of, name in tensors if of == feature})
        prepared[feature] = item
    return ReadJob(job=job, prepared=prepared, sources=outcome.sources, seconds=outcome.seconds)


def _serve(connection: Connection) -> None:
    """Run in the decode process until the main process lets go of the connection."""
    start_worker()
    connection.send(None)  # the program that the main process runs has been imported, as multiprocessing does
    try:
        readers, root = connection.recv()
        connection.send(None)
        while True:
            _answer(connection, connection.recv(), readers=readers, root=root)
    except EOFError:
        return


def _answer(connection: Connection, job: Job, *, readers: Mapping[str, Reader], root: Path) -> None:
    started = time.perf_counter()
    try:
        read = read_job(job, readers=readers, root=root, begin=connection.send)
        prepared = {feature: item for feature, item in read.prepared.items() if isinstance(item, Prepared)}
        tensors = {(feature, name): item.tensors[name] for feature, item in prepared.items() for name in item.tensors}
        places = lay_out(tensors)
        handle = share(tensors, places)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)  # which gives all of it back, and tells the main process
    except Exception as error:
        connection.send(_Raised(_portable(error), traceback.format_exc()))
    else:
        bare = {feature: replace(item, tensors={}) for feature, item in prepared.items()}
        seconds = time.perf_counter() - started
        connection.send(_Outcome({**read.prepared, **bare}, read.sources, seconds, places))
        send_handle(connection, handle, None)
        os.close(handle)


def _portable(error: Exception) -> Exception:
    """The error itself, or its words where the class cannot be sent between processes."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
