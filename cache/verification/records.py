"""What is recorded of a feature set's rows: whether it is whole, possible, and belongs to the row and its features."""

import numpy as np
from jaxtyping import Int64

from ...wording import count_of
from ..status import Status
from .digests import UnsoundRow, salvage, unsound_rows
from .findings import MEND
from .set_findings import SetFindings

_TOLD: dict[str, str] = {
    "status": "statuses",
    "problem": "notes",
    "source": "records of source files",
    "digest": "digests",
}

_REMEDY_OF_CHUNK = "`weldcache verify --mend` keeps what can be proved; `weldcache extract` computes the rest again."
_REMEDY_OF_STATUS = "The weld reads as one that was never extracted, so nothing wrong is read. " + MEND
_REMEDY_OF_PROVED = "`weldcache verify --mend` sets the status right; nothing is computed again."
_REMEDY_OF_NO_SOURCE = "A change of its files cannot be noticed. " + MEND
_REMEDY_OF_BEGUN = "Nothing needs to be done: `weldcache extract` computes them."


def verify_records(findings: SetFindings) -> None:
    """Find chunks of records that are damaged or lost, statuses that are none, and sources that are not recorded."""
    for group in findings.store.records.layout.groups:
        for number in findings.record_chunks(group):
            array = findings.store.records.array(group, findings.feature_set)
            if array.decoded(*array.contents([number])) is None:
                _tell_chunk(findings, group, number, "are damaged")
    if findings.store.records.layout.has_digests:
        _verify_presence(findings)
    rows = findings.rows_to_judge()
    statuses = findings.store.records.statuses(findings.feature_set, rows)
    for row in rows[statuses > max(Status)].tolist():
        evidence = f"the status {statuses[rows == row][0]} is none that there is"
        findings.tell_row("status", "error", evidence, _REMEDY_OF_STATUS, row=row, mend="salvage")
    _verify_sources(findings, rows[statuses == Status.COMPLETE])


def verify_digests(findings: SetFindings) -> None:
    """Find rows whose chunks, note, sources or status were exchanged or edited, whatever their own checksums say."""
    told = findings.rows_with_errors()
    rows = findings.rows_to_judge()
    unsound = list(unsound_rows(findings.store, findings.feature_set, rows[~np.isin(rows, told)]))
    for row in unsound:
        if row.status != Status.MISSING:
            _tell_unsound(findings, row)
    if begun := [row.row for row in unsound if row.status == Status.MISSING and row.proved]:
        keys = findings.keys(np.array(begun))
        found = count_of(len(begun), "row is whole but for its status", "rows are whole but for their status")
        evidence = f"{found}, of an interruption or an edit: {keys}"
        findings.tell("status", "note", evidence, _REMEDY_OF_BEGUN)


def _verify_presence(findings: SetFindings) -> None:
    """Statuses and digests are there in the same chunks: the former first, the latter before a status says anything."""
    status, digest = (findings.store.records.array(group, findings.feature_set) for group in ("status", "digest"))
    for number in sorted({*status.numbers(), *digest.numbers()} - findings.damaged_chunks.keys()):
        # Looked at in this order, since a row may be recorded or forgotten meanwhile.
        digests, statuses = digest.decoded(*digest.contents([number])), status.decoded(*status.contents([number]))
        if digests is None or statuses is None:
            continue  # damaged since
        if digests.any() and not status.contents([number])[0]:
            _tell_chunk(findings, "status", number, "are gone")
        elif statuses.any() and not digests.any() and digest.contents([number])[0] is None:
            _tell_chunk(findings, "digest", number, "are gone")


def _verify_sources(findings: SetFindings, complete: Int64[np.ndarray, " row"]) -> None:
    array = findings.store.records.array("source", findings.feature_set)
    for row in complete[array.read(complete, damaged_as_blank=True) == ""].tolist():
        if findings.still_complete(row) and not array.read([row], damaged_as_blank=True)[0]:
            evidence = "the files that it was made from are not recorded"
            findings.tell_row("status", "warning", evidence, _REMEDY_OF_NO_SOURCE, row=row)


def _tell_chunk(findings: SetFindings, group: str, number: int, what: str) -> None:
    store, name = findings.store, findings.feature_set
    array = store.records.array(group, name)
    first = number * array.rows_a_chunk
    rows = np.arange(first, min(first + array.rows_a_chunk, len(store.index)))
    proved, lost = salvage(store, name, number)
    kept = "all can be proved"
    if lost:
        kept = f"{count_of(len(lost), 'of them is', 'of them are')} lost: {findings.keys(np.array(lost))}"
    evidence = f"the {_TOLD[group]} of {count_of(len(rows), 'row')} {what}, from {findings.keys(rows[:1])} on; {kept}"
    file = array.path / array.name_of(number)
    findings.tell_chunk(evidence, _REMEDY_OF_CHUNK, number=number, file=file, proved=proved["status"])


def _tell_unsound(findings: SetFindings, row: UnsoundRow) -> None:
    if row.proved:
        evidence = f"its status is {row.status.name}, and its digest proves {row.proved.name}: it was edited"
        findings.tell_row("digests", "error", evidence, _REMEDY_OF_PROVED, row=row.row, mend="salvage")
    else:
        evidence = "its chunks, note, sources and status were not recorded together: some were exchanged or edited"
        findings.tell_row("digests", "error", evidence, MEND, row=row.row, mend="salvage")
