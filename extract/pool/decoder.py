"""What decodes one weld at a time for the pool, in a process or in a thread of the main one."""

import ctypes
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol, runtime_checkable

from ..features.kind import Reader
from ..plan import Task
from .limits import TICK, Limits, Watch
from .read_task import ReadTask, read_task

ABANDONED = "abandoned decoder"  # name of a thread that hangs in a library; `cli/main.py` looks for it


class DecoderDiedError(Exception):
    """The decoder ended while it was waited for; the message says how.

    Attributes:
        for_memory: whether memory ran out, which depends on what else runs and says nothing about the file.
        exit_status: of a process that ended by itself; 0 for any other end.
    """

    def __init__(self, how: str, *, for_memory: bool = False, exit_status: int = 0) -> None:
        super().__init__(how)
        self.for_memory = for_memory
        self.exit_status = exit_status


@runtime_checkable
class Decoder(Protocol):
    """Reads tasks; used by one thread at a time."""

    def wait_until_ready(self) -> None:
        """Return when it can take a task; raises `DecoderDiedError`."""
        ...

    def read(self, task: Task) -> ReadTask:
        """Hash and decode the task's files, see `read_task`.

        Raises:
            DecoderDiedError: if the decoder ended before it had an answer.
            TooMuchError: if a modality went beyond a limit; the decoder is of no use any more.
            Exception: what a reader raised, other than `DecodeError`.
        """
        ...

    def kill(self) -> None:
        """Let go of it at once, whatever it does."""
        ...

    def close(self) -> None:
        """Wait for the end of a decoder that has ended, or was killed."""
        ...


class DecodeThread:
    """A thread that reads tasks: a `Decoder` without a process.

    One that is killed while it reads ends when it next comes back to Python, which is between two frames of a film;
    until then it is left behind, under the name `ABANDONED`.
    """

    def __init__(self, readers: Mapping[str, Reader], *, root: Path, limits: Limits) -> None:
        """Start the thread; see `read_task`."""
        self._readers = readers
        self._root = root
        self._limits = limits
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._messages: SimpleQueue[str | ReadTask | Exception] = SimpleQueue()
        self._reading = False
        self._thread = Thread(target=self._serve, name="decode", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        pass

    def read(self, task: Task) -> ReadTask:
        watch = Watch(task.sample.key, self._limits)
        self._reading = True
        self._tasks.put(task)
        while True:
            try:
                message = self._messages.get(timeout=TICK)
            except Empty:
                watch.look()
                continue
            if isinstance(message, str):
                watch.begin(message)
                continue
            self._reading = False
            if isinstance(message, MemoryError):
                raise DecoderDiedError("memory ran out", for_memory=True) from message
            if isinstance(message, Exception):
                raise message
            return message

    def kill(self) -> None:
        self._tasks.put(None)
        if self._reading and self._thread.ident is not None:
            self._thread.name = ABANDONED
            set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
            set_exception(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))

    def close(self) -> None:
        if not self._reading:
            self._thread.join()

    def _serve(self) -> None:
        with suppress(SystemExit):  # see `kill`
            while (task := self._tasks.get()) is not None:
                try:
                    read = read_task(task, readers=self._readers, root=self._root, begin=self._messages.put)
                    self._messages.put(read)
                except Exception as error:
                    self._messages.put(error)
