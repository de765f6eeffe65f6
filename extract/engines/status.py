"""How far an extraction by several workers is, asked by anybody who sees the store's folder."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ...atomic import WRITERS_LOCK, is_locked, joint_folder
from ...tables import literal, make_table
from ...wording import count_of, format_seconds
from .joining import SharedJob, read_shared_job
from .marks import BEAT_SECONDS, WorkerState, read_marks

_SILENT_BEATS = 10  # without which a worker is said to be silent: network drives show files late


@dataclass(frozen=True)
class ExtractionStatus:
    """An extraction as its workers told of it, at the time `now`; `runs`: whether any of them holds the store."""

    store_path: Path
    job: SharedJob
    workers: Sequence[WorkerState]
    runs: bool
    now: float

    @property
    def num_done(self) -> int:
        """Rows of spans that are finished, and those that were done before."""
        return min(self.job.num_done + sum(worker.num_tried for worker in self.workers), self.job.num_rows)

    @property
    def num_spans_done(self) -> int:
        """Spans that somebody has finished; a batch that was tried alone is part of one."""
        return len({span for worker in self.workers for span in worker.finished})

    @property
    def num_failed(self) -> int:
        """Rows that were tried and still lack something."""
        return sum(worker.num_failed for worker in self.workers)

    @property
    def rate(self) -> float:
        """Rows a second from the beginning until now, or until the last span was finished."""
        last = self.now if self.runs else max((worker.last_finished for worker in self.workers), default=self.now)
        return (self.num_done - self.job.num_done) / max(last - self.job.started, 1e-9)

    @property
    def seconds_left(self) -> float | None:
        """At this rate; None where nobody is at work, or nothing is finished yet."""
        return (self.job.num_rows - self.num_done) / self.rate if self.runs and self.rate > 0 else None


def extraction_status(store_path: Path) -> ExtractionStatus:
    """How far the latest extraction by several workers into a store is.

    Raises:
        NotFoundError: if there was none.
        StoreError: if what says it is damaged.
    """
    job, lock = read_shared_job(store_path), joint_folder(store_path) / WRITERS_LOCK
    return ExtractionStatus(store_path, job, read_marks(store_path), is_locked(lock), time.time())


def state_of(worker: WorkerState, *, now: float) -> str:
    """What a worker is at, in words."""
    if worker.ended:
        return worker.ended
    silent = now - worker.beat
    if silent > _SILENT_BEATS * BEAT_SECONDS:
        where = f", last at span {worker.span}" if worker.span else ""
        return f"silent for {format_seconds(silent)}{where}"
    if worker.span:
        return f"at span {worker.span} for {format_seconds(max(now - worker.since, 0.0))}"
    return "waits"


def status_document(status: ExtractionStatus) -> dict[str, Any]:
    """The same as JSON values, with every span and by whom it was done."""
    return {
        "store": str(status.store_path),
        **status.job.model_dump(mode="json", exclude={"identity", "listing"}),
        "runs": status.runs,
        "num_done": status.num_done,
        "num_spans_done": status.num_spans_done,
        "num_failed": status.num_failed,
        "rows_a_second": status.rate,
        "seconds_left": status.seconds_left,
        "workers": [
            {
                "worker": worker.worker,
                "host": worker.host,
                "pid": worker.pid,
                "state": state_of(worker, now=status.now),
                "span": str(worker.span) if worker.span else None,
                "seconds_since_seen": max(status.now - worker.beat, 0.0),
                "spans": [
                    {"span": str(span), "num_rows": done.num_rows, "num_failed": done.num_failed}
                    for span, done in worker.finished.items()
                ],
            }
            for worker in status.workers
        ],
    }


def status_tables(status: ExtractionStatus) -> Iterator[RenderableType]:
    """The same for a terminal: the whole in a line, then a line for each worker."""
    job = status.job
    parts = [
        f"{status.store_path}: {status.num_done:,} of {count_of(job.num_rows, job.noun)} done",
        f"{status.num_spans_done:,} of {count_of(job.num_spans, 'span')}",
        f"{status.rate:.1f} {job.noun}s/s",
    ]
    if status.num_failed:
        parts.append(f"{status.num_failed:,} failed")
    if status.seconds_left is not None:
        parts.append(f"ETA {format_seconds(status.seconds_left)}")
    if not status.runs:
        parts.append("nobody is at work")
    yield Text(", ".join(parts))
    table = make_table("", left=["worker", "where", "state"], right=["spans", f"{job.noun}s", "failed"])
    for worker in status.workers:
        spans = f"{len(worker.finished):,}" + (f" of {worker.num_spans:,}" if worker.num_spans is not None else "")
        texts = (worker.worker, f"{worker.host}:{worker.pid}", state_of(worker, now=status.now))
        table.add_row(*map(literal, texts), spans, f"{worker.num_rows:,}", f"{worker.num_failed:,}")
    yield table
