"""What is done about workers that die or fail, by a crew that does as it is told."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from weldcache.errors import BackboneError, WeldcacheError
from weldcache.extract.engines.crew import _Driver
from weldcache.extract.engines.member import Death, Failure, Ready
from weldcache.extract.engines.spans import Span, SpanOutcome, cut_spans
from weldcache.extract.summary import ExtractSummary

pytestmark = pytest.mark.distributed
SUMMARY = ExtractSummary("sample", 0, 0, {}, [], 0, 0.0, {}, False, True)


class Told:
    """A `Crew` of two, which answers at once what `work` says of a span, and keeps what it was asked."""

    num_workers = 2

    def __init__(self, work: Callable[[int, Span], Any], *, starts: Callable[[int], Any] | None = None) -> None:
        self._work = work
        self._starts = starts or (lambda _: Ready(num_groups=16, num_rows=32, num_done=0, noun="sample"))
        self._answers: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, Any]] = []
        self.num_started = 0

    def start(self, number: int) -> None:
        self.num_started += 1
        self._answers.append((number, self._starts(self.num_started)))

    def ask(self, number: int, method: str, *arguments: Any) -> None:
        self.asked.append((method, arguments[0] if arguments else None))
        if method == "work":
            self._answers.append((number, self._work(number, arguments[0])))
        else:
            answers = {"summarise": SUMMARY, "close": None}
            self._answers.append((number, answers[method] if method in answers else outcome(arguments[0])))

    def answers(self, *, seconds: float) -> Sequence[tuple[int, Any]]:
        answers, self._answers = self._answers, []
        return answers

    def kill(self, number: int) -> None:
        raise AssertionError("nobody takes too long")

    def close(self) -> None:
        pass


def outcome(span: Span) -> SpanOutcome:
    return SpanOutcome(span, 2 * (span.last - span.first), 2 * (span.last - span.first), 0, 0.0)


def drive(crew: Told) -> ExtractSummary:
    return _Driver(crew, span_seconds=60.0).run(lambda: None)


def test_a_span_that_kills_is_tried_twice_then_group_by_group_and_what_kills_alone_is_given_up() -> None:
    def work(_: int, span: Span) -> Any:
        return Death("signal SIGKILL") if span.first <= 5 < span.last else outcome(span)

    crew = Told(work)
    assert drive(crew) == SUMMARY
    worked = [span for method, span in crew.asked if method == "work"]
    assert worked.count(Span(4, 6)) == 2 and worked[-2:] == [Span(4, 5), Span(5, 6)]
    assert [span for method, span in crew.asked if method == "give_up"] == [Span(5, 6)]
    assert crew.num_started == 2 + 3
    assert ("summarise", 32) in crew.asked  # every row was tried


def test_what_a_worker_raises_ends_it_at_once() -> None:
    crew = Told(lambda _, span: Failure("BackboneError", "There are no weights.", "trace"))
    with pytest.raises(BackboneError, match="no weights"):
        drive(crew)
    assert len(crew.asked) <= 2
    with pytest.raises(RuntimeError, match="ZeroDivisionError") as raised:
        drive(Told(lambda _, span: Failure("ZeroDivisionError", "division by zero", "line 7")))
    assert "line 7" in str(raised.value.__cause__)


def test_a_worker_that_dies_while_it_has_nothing_to_do_is_replaced_and_costs_nothing() -> None:
    crew = Told(lambda number, span: outcome(span))
    answers = crew.answers

    def with_a_death(*, seconds: float) -> Sequence[tuple[int, Any]]:
        # Both are ready then, and neither has been given a span.
        return [*answers(seconds=seconds), *([(0, Death("signal SIGKILL"))] if not crew.asked else [])]

    crew.answers = with_a_death  # type: ignore[method-assign]
    assert drive(crew) == SUMMARY
    assert crew.num_started == 3
    worked = [span for method, span in crew.asked if method == "work"]
    assert sorted(worked, key=lambda span: span.first) == cut_spans(16, workers=2)
    assert [method for method, _ in crew.asked].count("close") == 2


def test_workers_that_die_at_the_same_moment_while_one_sums_up_are_both_replaced() -> None:
    crew = Told(lambda number, span: outcome(span))
    answers = crew.answers

    def with_two_deaths(*, seconds: float) -> Sequence[tuple[int, Any]]:
        told = answers(seconds=seconds)
        if crew.asked and crew.asked[-1][0] == "summarise" and crew.num_started == 2:
            return [(number, Death("signal SIGKILL")) for number in (told[0][0], 1 - told[0][0])]
        return told

    crew.answers = with_two_deaths  # type: ignore[method-assign]
    assert drive(crew) == SUMMARY
    assert crew.num_started == 2 + 2
    assert [method for method, _ in crew.asked].count("summarise") == 2


def test_workers_that_keep_dying_end_it() -> None:
    with pytest.raises(WeldcacheError, match="before it was ready"):
        drive(Told(lambda _, span: outcome(span), starts=lambda _: Death("exit status 1")))
    with pytest.raises(WeldcacheError, match="in a row"):
        drive(Told(lambda _, span: Death("exit status 1")))
