"""Bounds that a report has to keep, for a script that has to know whether a run is good enough."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import BoundError, MetricError
from ..wording import from_to


@dataclass(frozen=True)
class Bounds:
    """What a run must reach on the samples that it is judged on; None: anything.

    Attributes:
        least_auroc: the smallest AUROC.
        most_false_alarms: the largest share of the normals that raise an alarm at the run's own threshold.
    """

    least_auroc: float | None = None
    most_false_alarms: float | None = None

    def require(self, report: Mapping[str, Any]) -> None:
        """See that a report (as JSON values) keeps them. The figures count as they are, without their intervals.

        Raises:
            BoundError: if it does not; the message names each figure with its interval.
            MetricError: if the report has no such figure.
        """
        if broken := list(self._broken(report)):
            raise BoundError(f"{report['run']} on {report['split']} is not good enough: {'; '.join(broken)}.")

    def _broken(self, report: Mapping[str, Any]) -> Iterator[str]:
        if self.least_auroc is not None:
            value, told = _figure(report, "auroc", style=".3f", option="--fail-under")
            if value < self.least_auroc:
                yield f"the AUROC is {told}, below {self.least_auroc:g}"
        if self.most_false_alarms is not None:
            value, told = _figure(report, "achieved_fpr", style=".1%", option="--fail-over")
            if value > self.most_false_alarms:
                yield f"{told} of the normals raise an alarm, over {self.most_false_alarms:.1%}"


def _figure(report: Mapping[str, Any], name: str, *, style: str, option: str) -> tuple[float, str]:
    """A figure of the report, and it with its interval in words; raises MetricError where there is none."""
    found = (section["facts"][name] for section in report["sections"].values() if name in section.get("facts", {}))
    figure = next(found, None)
    if figure is None:
        raise MetricError(
            f"{option} looks at {name}, which the report on {report['run']} does not have: its task is "
            f"{report['task']}. The report was written all the same; leave {option} out."
        )
    if isinstance(figure, Mapping):
        return figure["value"], f"{figure['value']:{style}} ({from_to(figure['low'], figure['high'], style)})"
    return figure, f"{figure:{style}}"
