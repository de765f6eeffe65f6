"""What a verification finds, the tables that tell it, and the record of it that stays in the store."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from rich.box import SIMPLE_HEAD
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...atomic import write_json
from ...documents import SEAL, Json, read_document, seal_holds, sealed
from ...errors import StoreError
from ...wording import count_of
from ..nodes import METADATA_FILE, Told, inside

# A group without members, whose attributes are the record: other readers of Zarr may list the store without a warning.
VERIFICATION = "verification"
ROW_DIGESTS = "row_digests"  # an entry of the record

Severity = Literal["error", "warning", "note"]
Mend = Literal["", "forget", "salvage", "drop", "restore", "sweep"]

MEND = "`weldcache verify --mend`, then `weldcache extract`, computes this weld again."

_SHOWN = 10  # findings of a kind in the table; all of them are in the JSON
_STYLES: Mapping[str, str] = {"error": "red", "warning": "yellow", "note": "dim"}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be or, as a note, worth knowing."""

    check: str
    severity: Severity
    evidence: str
    remedy: str
    key: str = ""  # of the weld
    part: str = ""  # a feature set, an array or a constant: `video`, `video/tokens`
    file: str = ""  # relative to the store
    # What --mend does: forget the row, salvage what can be proved of the records in the row's chunk, drop the constant,
    # restore the metadata `file`, or sweep temporary files out of the folder `file`.
    mend: Mend = ""
    feature_set: str = ""
    row: int | None = None

    @property
    def where(self) -> str:
        """Weld, array and file, as far as they are known."""
        return ", ".join(part for part in (self.key, self.part, self.file) if part)


@dataclass(frozen=True)
class Check:
    """A question that was put to the store, what was looked at to answer it, and what was found."""

    name: str
    looked_at: str
    findings: Sequence[Finding] = ()

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(finding.severity == severity for finding in self.findings)


@dataclass(frozen=True)
class Verification:
    """All that was checked.

    Attributes:
        live: describes the comparison with recomputed features, where one was made.
        row_digests: what the rows were when they were looked at; for the record alone.
    """

    path: Path
    fingerprint: str
    num_rows: int
    checks: Sequence[Check]
    live: Mapping[str, Json] | None = None
    num_mended: int = 0
    row_digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        """Of all checks, in their order."""
        return [finding for check in self.checks for finding in check.findings]

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(check.count(severity) for check in self.checks)

    @property
    def trustworthy(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return not self.count("error") and not self.count("warning")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every finding included."""
        return {
            "path": str(self.path),
            **self._summary(),
            "checks": [{"name": check.name, "looked_at": check.looked_at, **_counts(check)} for check in self.checks],
            "findings": [_described(finding) for finding in self.findings],
        }

    def write_record(self) -> None:
        """Leave the outcome in the store, for `weldcache info`; raises OSError where the store cannot be written to."""
        live = None if self.live is None else {name: self.live[name] for name in ("welds", "seed", "passed")}
        record = {**self._summary(), "findings": len(self.findings), "live": live}
        record[ROW_DIGESTS] = dict(self.row_digests)
        node = {"zarr_format": 3, "node_type": "group", "attributes": sealed(record)}
        write_json(inside(self.path, f"{VERIFICATION}/{METADATA_FILE}"), node)

    def _summary(self) -> dict[str, Any]:
        return {
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": self.fingerprint,
            "rows": self.num_rows,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "notes": self.count("note"),
            "mended": self.num_mended,
            "live": None if self.live is None else dict(self.live),
        }


class _LiveRecord(Told):
    welds: Annotated[int, Field(ge=0)]
    seed: int
    passed: bool


class _Record(Told):
    """A record as it is written; a seal alone says nothing of who sealed it."""

    created: str
    fingerprint: str
    rows: Annotated[int, Field(ge=0)]
    errors: Annotated[int, Field(ge=0)]
    warnings: Annotated[int, Field(ge=0)]
    notes: Annotated[int, Field(ge=0)]
    mended: Annotated[int, Field(ge=0)]
    findings: Annotated[int, Field(ge=0)]
    live: _LiveRecord | None
    row_digests: dict[str, str]


def read_record(path: Path) -> dict[str, Any] | None:
    """What `Verification.write_record` last left in the store at `path`; None if it never did.

    Raises:
        StoreError: if the record is damaged, was edited, or is that of a weldcache which sealed none.
    """
    file = inside(path, f"{VERIFICATION}/{METADATA_FILE}")
    try:
        record = read_document(file)["attributes"]
        trusted = seal_holds(record)
        _Record.model_validate({name: value for name, value in record.items() if name != SEAL})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        trusted = False
    if not trusted:
        raise StoreError(f"{file} is not what `weldcache verify` left there: what it says is ignored. Verify again.")
    return {name: value for name, value in record.items() if name != SEAL}


def verification_tables(verification: Verification) -> Iterator[RenderableType]:
    """A verification for a terminal: the checks, the comparison with live features, then the findings."""
    yield Text(f"{verification.path}  {count_of(verification.num_rows, 'row')}", style="bold")
    yield Text(f"fingerprint {verification.fingerprint}")
    yield _check_table(verification.checks)
    if verification.live is not None:
        yield from _live_tables(verification.live)
    for check in verification.checks:
        yield from _finding_texts(check.findings)
    yield _verdict(verification)


def _counts(check: Check) -> dict[str, int]:
    return {"errors": check.count("error"), "warnings": check.count("warning"), "notes": check.count("note")}


def _described(finding: Finding) -> dict[str, Any]:
    return {name: value for name, value in asdict(finding).items() if value not in ("", None)}


def _check_table(checks: Sequence[Check]) -> Table:
    table = Table(title="checks", title_justify="left")
    table.add_column("check")
    table.add_column("looked at")
    table.add_column("found")
    for check in checks:
        found = [count_of(number, name.removesuffix("s")) for name, number in _counts(check).items() if number]
        bad = check.count("error") or check.count("warning")
        table.add_row(check.name, check.looked_at, Text(", ".join(found) or "ok", style="yellow" if bad else "green"))
    return table


def _live_tables(live: Mapping[str, Any]) -> Iterator[RenderableType]:
    title = f"live against cached, {count_of(live['welds'], 'weld')}, seed {live['seed']}"
    # No wider than it has to be: in eighty columns the names of arrays are whole.
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("array", overflow="fold")
    for heading in ("differs\nby", "of its\nstd", "of tol-\nerance", "own\nnoise"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for array in live["arrays"]:
        share = "" if array["of_tolerance"] is None else f"{array['of_tolerance']:.0%}"
        numbers = [_number(array["difference"]), _number(array["difference_of_std"]), share, _number(array["noise"])]
        passed = Text("ok", style="green") if array["passed"] else Text("differs", style="red")
        table.add_row(array["array"], *numbers, passed)
    yield table
    yield Text(f"Tolerance: {live['tolerance']}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}" if value else "0"


def _finding_texts(findings: Sequence[Finding]) -> Iterator[RenderableType]:
    """The first findings of each kind, a kind being what the same remedy helps against."""
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.severity, finding.remedy), []).append(finding)
    for (severity, remedy), alike in kinds.items():
        for finding in alike[:_SHOWN]:
            where = f" ({finding.where})" if finding.where else ""
            text = Text(f"{severity}: {finding.check}: ", style=_STYLES[severity])
            yield text.append(f"{finding.evidence}{where}", style="default")
        if len(alike) > _SHOWN:
            yield Text(f"  ... and {len(alike) - _SHOWN:,} more like these; --json lists all.")
        if remedy:
            yield Text(f"  {remedy}")


def _verdict(verification: Verification) -> Text:
    if verification.trustworthy:
        return Text("Nothing is wrong with what was looked at.", style="green")
    severities: tuple[Severity, ...] = ("error", "warning")
    found = f"{', '.join(count_of(verification.count(severity), severity) for severity in severities)}."
    if verification.num_mended:
        found += f" {verification.num_mended:,} mended: run `weldcache extract`, then verify again."
    return Text(found, style="red" if verification.count("error") else "yellow")
