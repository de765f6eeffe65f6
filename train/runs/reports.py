"""What the reports in a run's folder say, and by which figures runs are told: each judge names its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...metrics.estimate import Estimate
from .documents import Fact, FirstReport, Report
from .folder import RunFolder

REPORTS = {"test": "report.json", "val": "report_val.json"}
"""Reports that an evaluation leaves in a run's folder, by split."""

_FORMER_FACT = ("session_disjoint", "group_disjoint")  # what reports of former versions call a group

ReportedFigure = Estimate | float | int | None
"""A figure, with its interval where it has one; None where it is not there, undefined or out of order."""

ToldIn = Literal["list", "page", "comparison"]
"""Where runs are told: all in one list, one on a page of its own, or some beside each other."""


@dataclass(frozen=True)
class Headline:
    """A figure by which the runs of a judge are told.

    Attributes:
        name: of the fact in a report; training logs it of the best epoch as `val_<name>`, if validation measures it.
        label: for people.
        control: name of the fact that it has to beat; "" where none stands beside it.
        told_in: the places where there is room for it.
        lower_is_better: as of an error or a divergence.
    """

    name: str
    label: str
    control: str = ""
    told_in: tuple[ToldIn, ...] = ("list", "page", "comparison")
    lower_is_better: bool = False


@dataclass(frozen=True)
class RunReport:
    """The report of one evaluation.

    Attributes:
        facts: its figures by name.
        judge: who judged, by the settings that were in force; "" where the run's task chose, or it is not said.
    """

    facts: Mapping[str, Fact]
    judge: str

    def figure(self, name: str) -> ReportedFigure:
        """The figure of this name."""
        found = self.facts.get(name)
        if isinstance(found, dict):
            low, value, high = found["low"], found["value"], found["high"]
            if low is None or value is None or high is None or not low <= value <= high:
                return None
            return Estimate(value, low, high)
        return found if isinstance(found, float | int) else None


def as_plain(figure: ReportedFigure) -> Any:
    """A figure as a JSON value."""
    return dict(vars(figure)) if isinstance(figure, Estimate) else figure


Headlines = Callable[[str, str], Sequence[Headline]]
"""The figures of a judge by its name, or of the judge of the task whose name comes second, where none is named."""


def no_headlines(judge: str, task: str) -> Sequence[Headline]:
    """For who asks for no figures."""
    return ()


def read_report(run: RunFolder, *, split: str) -> RunReport | None:
    """The report of an evaluation on `split`; None if there is none.

    Raises:
        TrainingError: if the report is damaged or was edited.
    """
    path = run.path / REPORTS[split]
    if not path.exists():
        return None
    report = run.read(path, Report)
    if "sections" not in report:
        first = run.read(path, FirstReport)
        return RunReport({name: first[name] for name in FirstReport.__annotations__}, judge="")  # type: ignore[literal-required]
    facts = {
        name.replace(*_FORMER_FACT): fact
        for section in report["sections"].values()
        for name, fact in section.get("facts", {}).items()
    }
    match report:
        case {"provenance": {"settings": {"evaluate": {"judge": str(judge)}}}}:
            return RunReport(facts, judge)
        case _:
            return RunReport(facts, judge="")
