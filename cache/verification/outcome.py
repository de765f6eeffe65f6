"""What a verification of a store found: told on a terminal, and left in the store.

The record has a few bytes for each row that was looked at, so that rows that are made later do not pass for verified.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from jaxtyping import UInt8, UInt32
from pydantic import Field
from rich.console import RenderableType
from rich.text import Text

from ...atomic import write_json
from ...configs.place import StorePlace, require_folder
from ...documents import SEAL, Json, read_document, seal_holds, sealed
from ...errors import StoreError
from ...findings import Check, Finding, Severity, check_table, finding_texts
from ...tables import make_table
from ...wording import count_of, listed
from ..nodes import METADATA_FILE, Told, inside
from ..status import SourceFile, Status
from ..store import FeatureStore

# A group without members, whose attributes are the record: other readers of Zarr may list the store without a warning.
VERIFICATION = "verification"
ROW_DIGESTS = "row_digests"  # an entry of the record

Mend = Literal["", "forget", "salvage", "drop", "restore", "sweep"]

MEND = "`weldcache verify --mend`, then `weldcache extract`, computes this sample again."

_ROWS_AT_ONCE = 1024
_TYPE = np.dtype("<u4")


@dataclass(frozen=True)
class StoreFinding(Finding):
    """A finding that `mend_store` may do something about.

    Attributes:
        mend: to forget the row, salvage what can be proved of the records in the row's chunk, drop the constant `part`,
            restore the metadata `file`, or sweep temporary files out of the folder `file`.
    """

    mend: Mend = ""
    feature_set: str = ""
    row: int | None = None


@dataclass(frozen=True)
class Verification:
    """What a verification checked, and what it found.

    Attributes:
        live: describes the comparison with recomputed features, where one was made.
        row_digests: what the rows were when they were looked at; for the record alone.
    """

    path: StorePlace
    fingerprint: str
    num_rows: int
    checks: Sequence[Check]
    live: Mapping[str, Json] | None = None
    num_mended: int = 0
    row_digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def findings(self) -> list[Finding]:
        """Findings of all checks, in their order."""
        return [finding for check in self.checks for finding in check.findings]

    def count(self, severity: Severity) -> int:
        """How many findings are of this severity."""
        return sum(check.count(severity) for check in self.checks)

    @property
    def trustworthy(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(check.passed for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, every finding included."""
        return {
            "path": str(self.path),
            **self._summary(),
            "checks": [{"name": check.name, "looked_at": check.looked_at, **check.counts()} for check in self.checks],
            "findings": [finding.to_json() for finding in self.findings],
        }

    def write_record(self) -> None:
        """Leave the outcome in the store, which is in a folder, for `weldcache info`; raises OSError where it cannot be
        written to."""
        live = None if self.live is None else {name: self.live[name] for name in ("samples", "seed", "passed")}
        record = {**self._summary(), "findings": len(self.findings), "live": live}
        record[ROW_DIGESTS] = dict(self.row_digests)
        node = {"zarr_format": 3, "node_type": "group", "attributes": sealed(record)}
        write_json(inside(require_folder(self.path, what="writes to"), f"{VERIFICATION}/{METADATA_FILE}"), node)

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
    samples: Annotated[int, Field(ge=0)]
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


def verification_tables(verification: Verification, *, details: bool) -> Iterator[RenderableType]:
    """A verification for a terminal: whether anything is wrong, then what; with `details` a line for each check. Arrays
    are compared with live features in a table where one differs."""
    yield _verdict(verification)
    yield Text(f"{verification.path}: {count_of(verification.num_rows, 'row')}, fingerprint {verification.fingerprint}")
    if details:
        yield check_table(verification.checks)
    elif verification.checks:
        names = listed([check.name for check in verification.checks])
        yield Text(f"{count_of(len(verification.checks), 'check')}: {names}; --verbose shows what each looked at.")
    if verification.live is not None:
        yield from _live_tables(verification.live, details=details)
    for check in verification.checks:
        yield from finding_texts(check.findings)


def _live_tables(live: Mapping[str, Any], *, details: bool) -> Iterator[RenderableType]:
    if not details and all(array["passed"] for array in live["arrays"]):
        arrays, samples = count_of(len(live["arrays"]), "array"), count_of(live["samples"], live["noun"])
        yield Text(f"{arrays} of {samples} computed again: as in the store, within the tolerance.")
        return
    title = f"live against cached, {count_of(live['samples'], live['noun'])}, seed {live['seed']}"
    headings = ["differs\nby", "of its\nstd", "of tol-\nerance", "own\nnoise", ""]
    table = make_table(title, left=["array"], right=headings)
    # No wider than it has to be: in eighty columns the names of arrays are whole.
    table.show_edge = False
    for column in table.columns[1:]:
        column.no_wrap = True
    for array in live["arrays"]:
        share = "" if array["of_tolerance"] is None else f"{array['of_tolerance']:.0%}"
        numbers = [_number(array["difference"]), _number(array["difference_of_std"]), share, _number(array["noise"])]
        passed = Text("ok", style="green") if array["passed"] else Text("differs", style="red")
        table.add_row(array["array"], *numbers, passed)
    yield table
    yield Text(f"Tolerance: {live['tolerance']}")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1e}" if value else "0"


def _verdict(verification: Verification) -> Text:
    if verification.trustworthy:
        return Text("Nothing is wrong with what was looked at.", style="bold green")
    severities: tuple[Severity, ...] = ("error", "warning")
    found = f"{', '.join(count_of(verification.count(severity), severity) for severity in severities)}."
    if verification.num_mended:
        found += f" {verification.num_mended:,} mended: run `weldcache extract`, then verify again."
    return Text(found, style="bold red" if verification.count("error") else "bold yellow")


def row_digests(store: FeatureStore) -> dict[str, str]:
    """For every feature set, 32 bits a row in base64: of what is recorded of a complete row, or zero.

    In a store without digests it is of the files that the row was made from, less their times: these are written anew
    where a file was touched and has the same bytes.
    """
    return {
        name: base64.b64encode(_digests(store, name, store.status(name)).tobytes()).decode()
        for name in store.feature_sets
    }


def changed_rows(
    store: FeatureStore, statuses: Mapping[str, UInt8[np.ndarray, " row"]], recorded: Mapping[str, str]
) -> int:
    """How many rows are complete in some feature set now and were not, or were made otherwise, when recorded."""
    changed = np.zeros(len(store.index), dtype=bool)
    for name, status in statuses.items():
        now = _digests(store, name, status)
        before = np.zeros_like(now)
        known = _decoded(recorded.get(name))[: len(before)]
        before[: len(known)] = known
        changed |= (now != 0) & (now != before)
    return int(changed.sum())


def _digests(store: FeatureStore, name: str, status: UInt8[np.ndarray, " row"]) -> UInt32[np.ndarray, " row"]:
    digests = np.zeros(len(status), dtype=_TYPE)
    complete = np.flatnonzero(status == Status.COMPLETE)
    if store.records.layout.has_digests:
        digests[complete] = np.maximum(store.records.digests(name, complete) & 0xFFFF_FFFF, 1)
        return digests
    for start in range(0, len(complete), _ROWS_AT_ONCE):
        rows = complete[start : start + _ROWS_AT_ONCE].tolist()
        digests[rows] = [_digest(files) for files in _sources(store, name, rows)]
    return digests


def _sources(store: FeatureStore, name: str, rows: Sequence[int]) -> list[tuple[SourceFile, ...]]:
    """The files that each of `rows` was made from; none where the record of them is damaged."""
    try:
        return store.sources(name, rows)
    except StoreError:
        if len(rows) == 1:
            return [()]
        return [files for row in rows for files in _sources(store, name, [row])]


def _digest(files: Sequence[SourceFile]) -> int:
    text = repr([(file.path, file.size, file.sha256) for file in files])
    digest = hashlib.sha256(text.encode(errors="backslashreplace")).digest()
    return max(int.from_bytes(digest[:4], "little"), 1)


def _decoded(text: object) -> UInt32[np.ndarray, " row"]:
    """Digests out of a record; none where the record holds something else."""
    try:
        return np.frombuffer(base64.b64decode(str(text or ""), validate=True), dtype=_TYPE)
    except ValueError:
        return np.zeros(0, dtype=_TYPE)
