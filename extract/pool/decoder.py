"""What decodes one sample at a time for the pool, in a process or in a thread of the main one, and what that may cost
before it is given up.
"""

import ctypes
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Protocol, runtime_checkable

from ...progress import say
from ...wording import format_seconds, format_size
from ..features.kind import Reader
from ..plan import Job
from ..settings import ExtractSettings
from .read_job import ReadJob, read_job

ABANDONED = "abandoned decoder"  # name of a thread that hangs in a library; `cli/main.py` looks for it
TICK = 0.1  # seconds between two looks at what is being decoded


@dataclass(frozen=True)
class Limits:
    """Of decoding one feature of one sample; nothing honest comes near them."""

    seconds: float = ExtractSettings().decode_seconds
    # Bytes that a decode process may take; the main process cannot be held to it.
    memory: int = round(ExtractSettings().decode_gigabytes * 1e9)
    named_after: float = 30.0  # seconds, and the sample is named once, so that nobody waits without knowing for what

    @classmethod
    def of(cls, settings: ExtractSettings) -> "Limits":
        """The limits that the settings set."""
        return cls(seconds=settings.decode_seconds, memory=round(settings.decode_gigabytes * 1e9))


class TooMuchError(Exception):
    """Decoding a feature went beyond a limit; the message is the reason why the sample lacks it."""

    def __init__(self, reason: str, *, feature: str) -> None:
        super().__init__(reason)
        self.feature = feature


class Watch:
    """On a decoder that is at one sample: which feature, for how long, with how much memory."""

    def __init__(self, key: str, limits: Limits) -> None:
        self._key = key
        self._limits = limits
        self.begin("files")  # a decoder that has not said what it is at yet

    def begin(self, feature: str) -> None:
        """The decoder is at this feature from now on."""
        self.feature = feature
        self._since = time.monotonic()
        self._named = False

    def look(self, *, memory: int = 0) -> None:
        """Name the sample once it takes long; `memory` is what the decoder has taken, in bytes.

        Raises:
            TooMuchError: if a limit is exceeded.
        """
        limits, seconds = self._limits, time.monotonic() - self._since
        if seconds > limits.seconds:
            raise TooMuchError(
                f"Decoding its {self.feature} was given up after {format_seconds(limits.seconds)} "
                "(extract.decode_seconds).",
                feature=self.feature,
            )
        if memory > limits.memory:
            raise TooMuchError(
                f"Decoding its {self.feature} was given up: it took {format_size(memory)} of memory and "
                f"extract.decode_gigabytes allows {limits.memory / 1e9:g}.",
                feature=self.feature,
            )
        if seconds > limits.named_after and not self._named:
            self._named = True
            say(
                f"{self._key}: its {self.feature} has been decoded for {format_seconds(seconds)}; "
                f"after {format_seconds(limits.seconds)} it is given up."
            )


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
    """Reads jobs; used by one thread at a time."""

    def wait_until_ready(self) -> None:
        """Return when it can take a job; raises `DecoderDiedError`."""

    def read(self, job: Job) -> ReadJob:
        """Hash and decode the job's files, see `read_job`.

        Raises:
            DecoderDiedError: if the decoder ended before it had an answer.
            TooMuchError: if a feature went beyond a limit; the decoder is of no use any more.
            Exception: what a reader raised, other than `DecodeError`.
        """

    def kill(self) -> None:
        """Let go of it at once, whatever it does."""

    def close(self) -> None:
        """Wait for the end of a decoder that has ended, or was killed."""


class DecodeThread:
    """A thread that reads jobs: a `Decoder` without a process.

    One that is killed while it reads ends when it next comes back to Python, which is between two frames of a film;
    until then it is left behind, under the name `ABANDONED`.
    """

    def __init__(self, readers: Mapping[str, Reader], *, root: Path, limits: Limits) -> None:
        """Start the thread; see `read_job`."""
        self._readers = readers
        self._root = root
        self._limits = limits
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._messages: SimpleQueue[str | ReadJob | Exception] = SimpleQueue()
        self._reading = False
        self._thread = Thread(target=self._serve, name="decode", daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        pass

    def read(self, job: Job) -> ReadJob:
        watch = Watch(job.sample.key, self._limits)
        self._reading = True
        self._jobs.put(job)
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
        self._jobs.put(None)
        if self._reading and self._thread.ident is not None:
            self._thread.name = ABANDONED
            set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
            set_exception(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))

    def close(self) -> None:
        if not self._reading:
            self._thread.join()

    def _serve(self) -> None:
        with suppress(SystemExit):  # see `kill`
            while (job := self._jobs.get()) is not None:
                try:
                    read = read_job(job, readers=self._readers, root=self._root, begin=self._messages.put)
                    self._messages.put(read)
                except Exception as error:
                    self._messages.put(error)
