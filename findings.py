"""What a check of something stored found: one type for features and runs, and how it is told on a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from .tables import literal, make_table
from .wording import count_of

Severity = Literal["error", "warning", "note"]

_SEVERITIES: Mapping[Severity, str] = {"error": "red", "warning": "yellow", "note": "dim"}
_SHOWN = 10  # findings of a kind on the terminal; all of them are in the JSON


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be or, as a note, worth knowing; `remedy` says what to do about it."""

    check: str
    severity: Severity
    evidence: str
    remedy: str
    key: str = ""  # of the sample
    part: str = ""  # such as a feature set, an array or a constant: `video`, `video/tokens`
    file: str = ""  # relative to what was checked

    @property
    def where(self) -> str:
        """Sample, array and file, as far as they are known."""
        return ", ".join(part for part in (self.key, self.part, self.file) if part)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without those that say nothing."""
        return {name: value for name, value in asdict(self).items() if value not in ("", None)}


@dataclass(frozen=True)
class Check:
    """A question that was put to something stored, what was looked at to answer it, and what was found."""

    name: str
    looked_at: str
    findings: Sequence[Finding] = ()

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)

    def counts(self) -> dict[str, int]:
        """Findings by severity, in the plural."""
        return {f"{severity}s": self.count(severity) for severity in _SEVERITIES}

    @property
    def passed(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return not self.count("error") and not self.count("warning")


def check_table(checks: Sequence[Check]) -> Table:
    """A line for each check: what was looked at, and how much of what was found."""
    table = make_table("checks", left=["check", "looked at", "found"])
    for check in checks:
        found = [count_of(number, name.removesuffix("s")) for name, number in check.counts().items() if number]
        told = Text(", ".join(found) or "ok", style="green" if check.passed else "yellow")
        table.add_row(literal(check.name), literal(check.looked_at), told)
    return table


def finding_texts(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """The first findings of each kind, a kind being what the same remedy helps against."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.remedy), []).append(finding)
    for (severity, remedy), alike in kinds.items():
        for finding in alike[:_SHOWN]:
            where = f" ({finding.where})" if finding.where else ""
            text = Text(f"{severity}: {finding.check}: ", style=_SEVERITIES[severity])
            yield text.append(f"{finding.evidence}{where}", style="default")
        if len(alike) > _SHOWN:
            yield Text(f"  ... and {len(alike) - _SHOWN:,} more like these; --json lists all")
        if remedy:
            yield Text(f"  {remedy}")
