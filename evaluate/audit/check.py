"""What a check of an audit is: a question to one kind of evidence, answered by findings and by what was looked at."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from ...errors import WeldcacheError
from ...findings import Check, Finding, Severity
from ...wording import shortened

Group = Literal["data", "cache", "training", "result"]
GROUPS: Sequence[Group] = ("data", "cache", "training", "result")

Evidence = TypeVar("Evidence", contravariant=True)

NEAR_MAJORITY = 0.005
"""In accuracy: so close to always giving the most frequent answer, nothing else was learned."""

_NAMED = 3  # samples in a finding
_REMEDY_OF_UNASKED = "Mend what it says, and audit again."


class Tell(Protocol):
    """Adds a finding: how grave it is, what shows it, and what to do."""

    def __call__(self, severity: Severity, evidence: str, remedy: str, *, part: str = "") -> None: ...


@dataclass(frozen=True)
class AuditCheck(Generic[Evidence]):
    """A question that an audit asks.

    Attributes:
        name: by which findings are told and docs/audit.md explains it.
        group: of which kind the mistake is.
        ask: looks at the evidence, tells what it finds, and returns in words what it looked at.
        in_report: whether a report asks it, too: not what takes the data set's files or much time, or is the report's;
            and what takes the model's time only where model and features are small.
    """

    name: str
    group: Group
    ask: Callable[[Evidence, Tell], str]
    in_report: Literal["always", "where small", "never"] = "always"

    def answered(self, evidence: Evidence) -> Check:
        """What was found. What cannot be looked at, such as a damaged file, is a warning and ends no audit."""
        findings: list[Finding] = []

        def tell(severity: Severity, evidence: str, remedy: str, *, part: str = "") -> None:
            findings.append(Finding(self.name, severity, evidence, remedy, part=part))

        try:
            looked_at = self.ask(evidence, tell)
        except WeldcacheError as error:
            looked_at = "not looked at to the end"
            tell("warning", f"could not be looked at: {error}", _REMEDY_OF_UNASKED)
        return Check(self.name, looked_at, findings)


def answers(checks: Iterable[AuditCheck[Evidence]], evidence: Evidence) -> Iterator[tuple[Group, Check]]:
    """What each of the checks finds, with the group that it is of."""
    for check in checks:
        yield check.group, check.answered(evidence)


def few(names: Iterable[str]) -> str:
    """The first few of many samples, pairs or groups."""
    return shortened([str(name) for name in names], most=_NAMED)
