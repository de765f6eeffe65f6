"""What an audit found, as values for programs and as tables for a terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from ...findings import Check, Finding, Severity, check_table, finding_texts
from ...tables import literal
from ...wording import count_of
from .check import GROUPS, Group

_SEVERITIES: Sequence[Severity] = ("error", "warning", "note")


@dataclass(frozen=True)
class Audit:
    """What an audit looked at, and what it found.

    Attributes:
        looked_at: the evidence, in words.
        missing: what there was not, and why not.
        checks: by the group that they are of, in the order in which they were asked.
    """

    looked_at: Sequence[str]
    missing: Sequence[str]
    checks: Sequence[tuple[Group, Check]]

    @property
    def findings(self) -> Sequence[Finding]:
        """All findings, the gravest first."""
        found = [finding for _, check in self.checks for finding in check.findings]
        return sorted(found, key=lambda finding: _SEVERITIES.index(finding.severity))

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity; errors are the severe ones."""
        return sum(check.count(severity) for _, check in self.checks)

    @property
    def trustworthy(self) -> bool:
        """Whether nothing severe was found."""
        return not self.count("error")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every finding included."""
        return {
            "verdict": "severe" if not self.trustworthy else "warnings" if self.count("warning") else "clean",
            **{f"{severity}s": self.count(severity) for severity in _SEVERITIES},
            "looked_at": list(self.looked_at),
            "missing": list(self.missing),
            "checks": [
                {"group": group, "name": check.name, "looked_at": check.looked_at, **check.counts()}
                for group, check in self.checks
            ],
            "findings": [finding.to_json() for finding in self.findings],
        }


def audit_tables(audited: Audit, *, details: bool) -> Iterator[RenderableType]:
    """An audit for a terminal: the verdict first, then what was found and, with `details`, all that was looked at."""
    yield _verdict(audited)
    for finding in audited.looked_at:
        yield literal(f"Looked at {finding}.")
    for reason in audited.missing:
        yield literal(reason, style="dim")
    for severity in _SEVERITIES:
        yield from finding_texts([finding for finding in audited.findings if finding.severity == severity])
    if details:
        for group in GROUPS:
            of_group = [check for each, check in audited.checks if each == group]
            if of_group:
                yield Text(group, style="bold")
                yield check_table(of_group)


def _verdict(audited: Audit) -> Text:
    counted = [count_of(audited.count(severity), severity) for severity in _SEVERITIES if audited.count(severity)]
    asked = count_of(len(audited.checks), "check")
    if not audited.trustworthy:
        return Text(f"Not to be believed as it is: {', '.join(counted)} in {asked}.", style="bold red")
    if audited.count("warning"):
        return Text(f"To be read with care: {', '.join(counted)} in {asked}.", style="bold yellow")
    return Text(f"Nothing is wrong with what was looked at, in {asked}.", style="bold green")
