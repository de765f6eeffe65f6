"""A span of an extraction, and the worker that is called with one, wherever an engine has it.

Spans are cut from the list of all groups, whatever of them is done, so that everybody who asks for the same has the
same spans without asking anybody; what of a span is done is looked up when its turn comes.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from ...cache.buckets.working_copy import WorkingCopy
from ...cache.records import Record
from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.writer import StoreWriter
from ...settings import Settings
from ..group_runner import GroupRunner
from ..plan import ExtractPlan, Job, plan_extraction
from ..pool.read_job import why_nothing
from ..request import Request
from .joining import recording_lock

MOST_GROUPS = 8  # a span: what a worker costs that dies, and what nobody can help it with
_LEAST_SPANS = 4  # a worker, so that all end at about the same time


@dataclass(frozen=True)
class Span:
    """Some groups in a row, from `first` up to but not with `last`, of all that there are."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last - 1}"

    @property
    def name(self) -> str:
        """What is delivered of it is called so."""
        return f"{self.first:08}-{self.last - 1:08}"

    @property
    def groups(self) -> list["Span"]:
        """Each of its groups as a span."""
        return [Span(number, number + 1) for number in range(self.first, self.last)]


@dataclass(frozen=True)
class SpanOutcome:
    """What became of a span.

    Attributes:
        num_rows: in it, done before or not.
        num_tried: that had something to write.
        num_failed: that are still missing something, although they were tried.
        seconds: that it took.
    """

    span: Span
    num_rows: int
    num_tried: int
    num_failed: int
    seconds: float


def cut_spans(num_groups: int, *, workers: int) -> list[Span]:
    """The spans of so many groups, for so many workers to share."""
    size = min(MOST_GROUPS, max(1, num_groups // (workers * _LEAST_SPANS)))
    return [Span(first, min(first + size, num_groups)) for first in range(0, num_groups, size)]


class SpanWorker:
    """Works on spans of a request, one after the other; use as a context manager.

    Its backbones are loaded with the first span that needs them, and stay; so do its decode processes. Groups are in
    the order of the rows that they begin with, so that a span has neighbouring rows of all splits. Where `store` is the
    working copy of one in a bucket, `working`, what is made of a span is delivered there.
    """

    def __init__(
        self, store: FeatureStore, request: Request, settings: Settings, *, working: WorkingCopy | None = None
    ) -> None:
        self._row_of = store.index.row_of()
        cut = request.cut(store.batching["group_size"])
        self.groups = sorted(cut, key=lambda group: self._row_of[group[0].key])
        self._store = store
        self._working = working
        self._request = request
        self._recording = nullcontext if working is not None else recording_lock(store.folder)
        self._runner = GroupRunner(store, request, settings, recording=self._recording)

    def __enter__(self) -> "SpanWorker":
        self._runner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.__exit__(kind, error, trace)

    def load(self, spans: Sequence[Span]) -> None:
        """Load the backbones that any of the spans needs, before the first.

        Raises:
            BackboneError: if one cannot be loaded.
        """
        self._runner.load(self.plan(spans).groups)

    def plan(self, spans: Sequence[Span]) -> ExtractPlan:
        """What of some spans is missing now."""
        groups = [group for span in spans for group in self.groups[span.first : span.last]]
        rows = [self._row_of[sample.key] for group in groups for sample in group]
        return plan_extraction(
            groups, row_of=self._row_of, statuses=self._statuses(rows), feature_sets=self._request.specs
        )

    def __call__(self, span: Span, *, on_group: Callable[[int], None]) -> SpanOutcome:
        """Bring what is missing of a span into the store; see `GroupRunner.run`."""
        started = time.monotonic()
        plan = self.plan([span])
        if plan.jobs:
            self._runner.run(plan.groups, on_group=on_group)
            self._deliver(span, plan.jobs)
        statuses = self._statuses([job.row for job in plan.jobs])
        failed = {job.row for job in plan.jobs for name in job.write if statuses[name][job.row] == Status.MISSING}
        return SpanOutcome(span, plan.num_rows, plan.num_todo, len(failed), time.monotonic() - started)

    def unfinished(self, spans: Sequence[Span]) -> list[Span]:
        """Those of which something is missing now."""
        return [span for span in spans if self.plan([span]).jobs]

    def give_up(self, span: Span, reason: str) -> SpanOutcome:
        """Record of all that a span still lacks why it does; a later run tries it again."""
        jobs = self.plan([span]).jobs
        records = given_up(jobs, stream_of=self._request.stream_of, reason=reason)
        StoreWriter(self._store, recording=self._recording).record(records)
        self._deliver(span, jobs)
        failed = {record.row for record in records if record.status == Status.MISSING}
        return SpanOutcome(span, len(jobs), len(jobs), len(failed), 0.0)

    @property
    def busy(self) -> dict[str, float]:
        """Share of the time that each side was at work."""
        return self._runner.busy

    def _deliver(self, span: Span, jobs: Sequence[Job]) -> None:
        if self._working is None:
            return
        rows: dict[str, list[int]] = {}
        for job in jobs:
            for name in job.write:
                rows.setdefault(name, []).append(job.row)
        others = np.zeros(len(self._store.index), dtype=bool)
        others[[self._row_of[sample.key] for group in self.groups for sample in group]] = True
        others[[self._row_of[sample.key] for group in self.groups[span.first : span.last] for sample in group]] = False
        self._working.deliver(span.name, rows, others=others)

    def _statuses(self, rows: Sequence[int]) -> Mapping[str, NDArray[np.uint8]]:
        """Those of `rows`, read anew, in arrays of all rows."""
        statuses = {}
        for name in self._request.feature_sets:
            statuses[name] = np.zeros(len(self._store.index), dtype=np.uint8)
            statuses[name][rows] = self._store.records.statuses(name, rows)
        return statuses


def given_up(jobs: Sequence[Job], *, stream_of: Mapping[str, str], reason: str) -> list[Record]:
    """What is recorded of rows that `reason` keeps from being made: but what has no file is said to have none.

    `stream_of` says by feature set what of a sample it is made from.
    """
    records = []
    for job in jobs:
        for name in sorted(job.write):
            nothing = why_nothing(job.sample, stream=stream_of[name])
            status, note = (nothing.status, nothing.reason) if nothing else (Status.MISSING, reason)
            records.append(Record(name, job.row, status, note))
    return records
