"""Progress of long jobs: a live bar with rate and ETA on a terminal, now and then one readable line elsewhere."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from .wording import format_seconds, visible

_SLOWEST_RATE = 0.1  # items a second that are shown as a rate
_LINE_INTERVAL = 10.0  # seconds between log lines where there is no terminal


class Progress:
    """Count `total` items of a job named `title`; use as a context manager and call `advance`.

    Writes to stderr, so that a command's stdout holds its result alone. The rate counts only items done in this run:
    `done` items that an earlier run finished move the bar, not the rate.
    """

    def __init__(self, title: str, *, total: int, unit: str, done: int = 0, console: Console | None = None) -> None:
        self._title = visible(title)
        self._total = total
        self._unit = unit
        self._done_before = done
        self._done = done
        self._note = ""
        self._console = console or error_console()
        self._started = self._last_line = self._last_done = time.monotonic()
        self._bar = RichProgress(
            # Names of runs and samples stand in title and note: a bracket in them is no markup.
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[note]}", markup=False),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(self._title, total=total, completed=done, rate="", note="")

    def __enter__(self) -> "Progress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        if not self._console.is_terminal and kind is None:
            self._print_line(final=True)

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Say that `count` more items are done; `note` (a loss, a score) stands at the end of the line."""
        self._done += count
        if count:
            self._last_done = time.monotonic()
        if note is not None:
            self._note = visible(note)
        self._bar.update(self._task, completed=self._done, rate=self._rate(), note=self._note)
        if not self._console.is_terminal and time.monotonic() - self._last_line > _LINE_INTERVAL:
            self._print_line(final=False)

    def extend(self, count: int) -> None:
        """Say that `count` more items are to be done than was known."""
        self._total += count
        self._bar.update(self._task, total=self._total)

    @property
    def rate(self) -> float:
        """Items a second in this run, up to the last that was done: what is under way counts for nothing yet."""
        return (self._done - self._done_before) / max(self._last_done - self._started, 1e-9)

    def _rate(self) -> str:
        """Items a second, or how long each takes where that is more than ten."""
        if 0 < self.rate < _SLOWEST_RATE:
            return f"{format_seconds(1 / self.rate)} each"
        return f"{self.rate:.1f} {self._unit}/s"

    def _print_line(self, *, final: bool) -> None:
        self._last_line = time.monotonic()
        parts = [f"{self._title}: {self._done}/{self._total} {self._unit}", self._rate()]
        if final:
            parts.append(f"took {format_seconds(self._last_line - self._started)}")
        elif self.rate > 0:
            parts.append(f"ETA {format_seconds((self._total - self._done) / self.rate)}")
        if self._note:
            parts.append(self._note)
        self._console.print(", ".join(parts), markup=False, highlight=False, soft_wrap=True)


class ByteProgress:
    """As `Progress`, of about `num_bytes`, shown as megabytes; full where the block ends well. Several threads may
    advance it."""

    def __init__(self, title: str, *, num_bytes: int) -> None:
        self._num_megabytes = max(1, round(num_bytes / 1e6))
        self._bar = Progress(title, total=self._num_megabytes, unit="MB")
        self._num_bytes = self._num_shown = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "ByteProgress":
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._show(self._num_megabytes)
        self._bar.__exit__(kind, error, trace)

    def advance(self, num_bytes: int) -> None:
        """Say that so many more bytes are done."""
        with self._lock:
            self._num_bytes += num_bytes
            self._show(min(self._num_bytes // 10**6, self._num_megabytes))

    def _show(self, num_megabytes: int) -> None:
        self._bar.advance(num_megabytes - self._num_shown)
        self._num_shown = num_megabytes


@dataclass
class _Telling:
    """How this process tells of its work, all its threads; processes that it starts are told what holds for them."""

    quiet: bool = False
    said: set[str] | None = None  # sentences that are not said again; None: every sentence is said


_telling = _Telling()


@contextmanager
def quieted(quiet: bool = True) -> Iterator[None]:
    """Within the block nothing is said of what is under way, if `quiet`: no bar, no line, no sentence."""
    before, _telling.quiet = _telling.quiet, quiet
    try:
        yield
    finally:
        _telling.quiet = before


def is_quiet() -> bool:
    """Whether nothing is said of what is under way; for those who start processes."""
    return _telling.quiet


def error_console() -> Console:
    """Where what is under way is told: stderr."""
    return Console(stderr=True, quiet=_telling.quiet)


@contextmanager
def said_once() -> Iterator[None]:
    """Within the block no sentence is said twice: a job that lists its data set several times tells once what it is."""
    before, _telling.said = _telling.said, set()
    try:
        yield
    finally:
        _telling.said = before


def say(text: str) -> None:
    """Print a sentence about the job to stderr; control characters, as in odd names, are shown as escapes."""
    if _telling.said is not None:
        if text in _telling.said:
            return
        _telling.said.add(text)
    error_console().print(visible(text, keep="\n"), markup=False, highlight=False, soft_wrap=True)
