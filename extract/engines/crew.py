"""Handing out spans to workers that may die: each has one at a time, and what a dead one had is given to another.

A span near which two workers have died is taken up when all else is done: group by group, while nothing else is at
work, since memory may be what ran out. A group that kills its worker then too is left missing, with that as its reason.
"""

import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ...errors import WeldcacheError
from ...progress import Progress, is_quiet, say
from ...settings import Settings
from ...wording import count_of, format_seconds
from ..group_runner import kept_interrupt
from ..into_bucket import held_bucket
from ..summary import ExtractSummary
from .engine import Engine
from .joining import SETUP_SECONDS
from .member import Death, Failure, Order, Ready, placed_order
from .spans import Span, SpanOutcome, cut_spans

_CHANCES = 2  # deaths that a span may be near before it is tried alone
_MOST_DEATHS = 10  # in a row, without a span that was finished, and the machines are at fault
_GRACE_SECONDS = 30.0  # beyond the limit of a span, at which a worker that can still act ends itself
_LOOK_SECONDS = 0.5


class Crew(Protocol):
    """Workers by number, each of which is asked one thing at a time."""

    num_workers: int

    def start(self, number: int) -> None:
        """Begin to start a worker, in the place of one of that number that has ended; it answers when it is ready."""

    def ask(self, number: int, method: str, *arguments: object) -> None:
        """Have a worker call a method of `Member`."""

    def answers(self, *, seconds: float) -> Sequence[tuple[int, Any]]:
        """What workers answered, or their `Failure` or `Death`, once there is anything or the seconds are over."""

    def kill(self, number: int) -> None:
        """End a worker at once; its death is an answer."""

    def close(self) -> None:
        """End all workers."""


def drive(engine: Engine, settings: Settings, *, split: str, refresh: bool, relabel: bool) -> ExtractSummary:
    """Extract with the workers of an engine; see `pipeline.extract`.

    Raises:
        WeldcacheError: if workers keep dying; else what a worker raised, which ends the work of all.
    """
    order = Order(
        settings=settings.model_dump(mode="json"),
        split=split,
        refresh=refresh,
        relabel=relabel,
        folder=str(Path.cwd()),
        engine=engine.name,
        workers=0,
        identity=uuid.uuid4().hex,
        quiet=is_quiet(),
    )
    with (
        placed_order(order),
        held_bucket(settings.cache.path) as require_alone,
        opened_crew(engine, order) as crew,
        kept_interrupt() as raise_if_interrupted,
    ):

        def raise_if_over() -> None:
            raise_if_interrupted()
            require_alone()

        return _Driver(crew, span_seconds=settings.extract.span_seconds).run(raise_if_over)


@contextmanager
def opened_crew(engine: Engine, order: Order) -> Iterator[Crew]:
    """The crew of an engine, with workers that are told the order."""
    crew: Crew
    if engine.name == "ray":
        from .ray_actors import RayCrew

        crew = RayCrew(order, engine)
    else:
        from .processes import LocalCrew

        crew = LocalCrew(order, engine)
    try:
        yield crew
    finally:
        crew.close()


@dataclass
class _Task:
    """What a worker is at: starting, where there is no span."""

    span: Span | None
    since: float


class _Driver:
    """Has a crew do all spans."""

    def __init__(self, crew: Crew, *, span_seconds: float) -> None:
        self._crew = crew
        self._most_seconds = span_seconds + _GRACE_SECONDS
        self._queue: deque[Span] = deque()
        self._suspects: list[Span] = []
        self._tasks: dict[int, _Task] = {}
        self._idle: list[int] = []
        self._deaths: Counter[Span] = Counter()
        self._deaths_in_a_row = 0
        self._num_tried = 0

    def run(self, raise_if_interrupted: Callable[[], None]) -> ExtractSummary:
        """Do all spans, and have a worker say what the store holds then."""
        for number in range(self._crew.num_workers):
            self._start(number)
        ready = self._first_ready(raise_if_interrupted)
        self._queue.extend(cut_spans(ready.num_groups, workers=self._crew.num_workers))
        unit = f"{ready.noun}s"
        with Progress("extract", total=ready.num_rows, unit=unit, done=ready.num_done) as progress:
            while self._queue or self._at_work:
                self._hand_out()
                for outcome in self._outcomes():
                    progress.advance(outcome.num_tried, note=f"{count_of(self._at_work, 'worker')} at work")
                raise_if_interrupted()
            for group in [group for span in self._suspects for group in span.groups]:
                progress.advance(self._do_alone(group).num_tried)
                raise_if_interrupted()
        summary = self._summary()
        for number in list(self._idle):
            self._answer_of(number, "close")
        return summary

    def _summary(self) -> ExtractSummary:
        while True:
            number = self._any_idle()
            answer = self._answer_of(number, "summarise", self._num_tried)
            if not isinstance(answer, Death):
                assert isinstance(answer, ExtractSummary), answer
                return answer
            self._go_on_without(number, None, answer)

    @property
    def _at_work(self) -> int:
        return sum(task.span is not None for task in self._tasks.values())

    def _start(self, number: int) -> None:
        self._tasks[number] = _Task(None, time.monotonic())
        self._crew.start(number)

    def _first_ready(self, raise_if_interrupted: Callable[[], None]) -> Ready:
        since = time.monotonic()
        while True:
            ready = []
            for number, answer in self._crew.answers(seconds=_LOOK_SECONDS):
                self._take(number, answer)
                ready += [answer] if isinstance(answer, Ready) else []
            if ready:
                return ready[0]
            raise_if_interrupted()
            if time.monotonic() - since > SETUP_SECONDS:
                raise WeldcacheError(
                    f"No worker was ready within {format_seconds(SETUP_SECONDS)}. Is what each of them asks for there: "
                    "GPUs, cores, the drive with the data set?"
                )

    def _hand_out(self) -> None:
        now = time.monotonic()
        while self._queue and self._idle:
            number, span = self._idle.pop(), self._queue.popleft()
            self._tasks[number] = _Task(span, now)
            self._crew.ask(number, "work", span)
        for number, task in self._tasks.items():
            if task.span is not None and now - task.since > self._most_seconds:
                self._crew.kill(number)

    def _outcomes(self) -> Iterator[SpanOutcome]:
        for number, answer in self._crew.answers(seconds=_LOOK_SECONDS):
            if isinstance(answer, SpanOutcome):
                yield answer
            self._take(number, answer)

    def _take(self, number: int, answer: object) -> None:
        task = self._tasks.pop(number, None)  # none where an idle one dies
        if isinstance(answer, Failure):
            answer.raised()
        if isinstance(answer, Death):
            if task is None:
                self._idle.remove(number)
            self._go_on_without(number, task, answer)
            return
        self._idle.append(number)
        if isinstance(answer, SpanOutcome):
            self._deaths_in_a_row = 0
            self._num_tried += answer.num_tried

    def _go_on_without(self, number: int, task: _Task | None, death: Death) -> None:
        self._deaths_in_a_row += 1
        span = task.span if task else None
        where = "between spans" if task is None else f"at span {span}" if span else "before it was ready"
        if self._deaths_in_a_row >= _MOST_DEATHS:
            raise WeldcacheError(
                f"{self._deaths_in_a_row} workers in a row have ended without finishing anything, the last {where} "
                f"({death.how}); what they printed is above. Complete rows are safe; mend the reason and run the same "
                "command again."
            )
        say(f"Worker {number} ended {where} ({death.how}). Another one goes on.")
        if span is not None:
            self._deaths[span] += 1
            if self._deaths[span] < _CHANCES:
                self._queue.append(span)
            else:
                self._suspects.append(span)
        self._start(number)

    def _do_alone(self, group: Span) -> SpanOutcome:
        """Do a group while nobody else is at work; record why it cannot be done if it kills its worker once more."""
        number = self._any_idle()
        answer = self._answer_of(number, "work", group)
        if isinstance(answer, Death):
            reason = f"put through the backbones with its neighbours, it ended the worker ({answer.how}), also alone"
            say(f"Batch {group}: {reason}.")
            self._start(number)
            answer = self._answer_of(self._any_idle(), "give_up", group, reason)
        assert isinstance(answer, SpanOutcome), answer
        self._deaths_in_a_row = 0
        self._num_tried += answer.num_tried
        return answer

    def _any_idle(self) -> int:
        """A worker that waits for something to do, once there is one."""
        while not self._idle:
            for _ in self._outcomes():
                raise AssertionError("nobody should be at work")
        return self._idle.pop()

    def _answer_of(self, number: int, method: str, *arguments: object) -> object:
        """What one worker answers, while others may start or end; its death is an answer."""
        self._crew.ask(number, method, *arguments)
        since = time.monotonic()
        while True:
            answers = dict(self._crew.answers(seconds=_LOOK_SECONDS))
            answered, answer = number in answers, answers.pop(number, None)
            for other, told in answers.items():
                self._take(other, told)
            if isinstance(answer, Failure):
                answer.raised()
            if answered:
                if not isinstance(answer, Death):
                    self._idle.append(number)
                return answer
            if time.monotonic() - since > self._most_seconds:
                self._crew.kill(number)
