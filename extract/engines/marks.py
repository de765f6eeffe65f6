"""What each of several workers says of itself, for whoever wants to know: a file a worker, of which the lines say what
it began and finished, and the time what it was touched last, that it lives.

Nothing is decided by them: what is done is what the store's statuses say.
"""

import json
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from ...atomic import joint_folder
from ...documents import parse_json
from ...errors import refusal_of
from ...progress import say
from ...wording import format_seconds, visible
from .spans import Span, SpanOutcome

BEAT_SECONDS = 2.0
_LONGEST_REASON = 500


class Marks:
    """The file of this worker; use as a context manager. A worker that is at one span for too long is ended by it."""

    def __init__(self, store_path: Path, *, worker: str, num_spans: int | None, span_seconds: float) -> None:
        """`num_spans` are this worker's alone, None where it takes what comes; `span_seconds` is the most for each."""
        self._path = joint_folder(store_path) / f"worker-{worker.replace(' ', '-')}.jsonl"
        self._worker = worker
        self._num_spans = num_spans
        self._span_seconds = span_seconds
        self._span: Span | None = None
        self._since = time.monotonic()
        self._ended = threading.Event()

    def __enter__(self) -> "Marks":
        self._write(worker=self._worker, host=socket.gethostname(), pid=os.getpid(), spans=self._num_spans)
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._write(ended="finished" if error is None else _reason(error))

    def begin(self, span: Span) -> None:
        """The worker is at this span from now on."""
        self._since = time.monotonic()
        self._span = span
        self._write(began=[span.first, span.last])

    def finish(self, outcome: SpanOutcome) -> None:
        """The worker has finished the span."""
        self._span = None
        self._write(
            finished=[outcome.span.first, outcome.span.last],
            rows=outcome.num_rows,
            tried=outcome.num_tried,
            failed=outcome.num_failed,
        )

    def _write(self, **event: Any) -> None:
        # One write to a file that is only ever appended to, so that no line is read in halves.
        line = json.dumps({"at": time.time(), **event}) + "\n"
        with suppress(OSError):  # a full disk is told by who writes what matters
            file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
            try:
                os.write(file, line.encode())
            finally:
                os.close(file)

    def _beat(self) -> None:
        while not self._ended.wait(min(BEAT_SECONDS, self._span_seconds)):
            if self._span is not None and time.monotonic() - self._since > self._span_seconds:
                reason = (
                    f"given up after {format_seconds(self._span_seconds)} at span {self._span} (extract.span_seconds)"
                )
                self._write(ended=reason)
                say(f"{self._worker}: {reason}. What was complete is kept.")
                os._exit(1)  # what hangs in a library cannot be interrupted in any other way
            with suppress(OSError):
                os.utime(self._path)


def _reason(error: BaseException) -> str:
    refusal = refusal_of(error)
    return (refusal.sentence if refusal else str(error) or type(error).__name__)[:_LONGEST_REASON]


@dataclass(frozen=True)
class FinishedSpan:
    """How many rows a span had, were tried, and are missing still."""

    num_rows: int
    num_tried: int
    num_failed: int


@dataclass
class WorkerState:
    """What a worker has said of itself.

    Attributes:
        num_spans: it is to do; None where it takes what comes.
        finished: its spans, also those of a worker that it took the place of.
        span: it is at, since `since` (seconds of the epoch, as all times here).
        ended: how it ended, by its own word; empty while it has not.
        beat: when it was last seen alive.
    """

    worker: str
    host: str
    pid: int
    num_spans: int | None
    started: float
    beat: float
    finished: dict[Span, "FinishedSpan"] = field(default_factory=dict)
    last_finished: float = 0.0
    span: Span | None = None
    since: float = 0.0
    ended: str = ""

    @property
    def num_rows(self) -> int:
        """Rows of the spans that it has finished."""
        return sum(span.num_rows for span in self.finished.values())

    @property
    def num_tried(self) -> int:
        """Rows of these that had something to write."""
        return sum(span.num_tried for span in self.finished.values())

    @property
    def num_failed(self) -> int:
        """Rows of these that are missing still."""
        return sum(span.num_failed for span in self.finished.values())


def read_marks(store_path: Path) -> list[WorkerState]:
    """What the workers of the latest extraction have said, by their names; lines that are none are passed over."""
    states = []
    for path in sorted(joint_folder(store_path).glob("worker-*.jsonl")):
        state: WorkerState | None = None
        for line in path.read_text(errors="replace").splitlines():
            try:
                state = _after(state, parse_json(line), beat=path.stat().st_mtime)
            except (ValueError, KeyError, TypeError):
                continue
        if state is not None:
            states.append(state)
    return states


def _after(state: WorkerState | None, event: Any, *, beat: float) -> WorkerState:
    """A worker's state after another of its lines; raises what Python raises of a line that is none."""
    at = float(event["at"])
    if "worker" in event:
        spans = event["spans"]
        worker, host = visible(str(event["worker"])), visible(str(event["host"]))
        begun = WorkerState(worker, host, int(event["pid"]), None if spans is None else int(spans), at, beat)
        if state is not None:  # one that has died, whose place it took
            begun.finished, begun.last_finished = state.finished, state.last_finished
        return begun
    if state is None:
        raise ValueError("the file does not begin with its worker")
    if "began" in event:
        state.span, state.since = Span(*map(int, event["began"])), at
    elif "finished" in event:
        span = Span(*map(int, event["finished"]))
        rows, tried, failed = (int(event[name]) for name in ("rows", "tried", "failed"))
        # A rank that is started again finds its former spans done, and tries nothing of them.
        before = state.finished.get(span, FinishedSpan(rows, 0, 0)).num_tried
        state.finished[span] = FinishedSpan(rows, max(tried, before), failed)
        state.span, state.last_finished = None, at
    elif "ended" in event:
        state.ended = visible(str(event["ended"]))
    return state
