"""What is recorded of a feature set's rows: whether it is whole, possible, and belongs to the row and its features.

A digest is held against the key, status, note, sources and chunks that it speaks of. It also proves what is left of
records that were damaged, edited or lost.
"""

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Int64

from ...wording import count_of
from ..record_arrays import Values
from ..records import Record, digest_of
from ..status import SourceFile, Status, decode_sources
from ..store import FeatureStore
from .outcome import MEND
from .set_findings import SetFindings

_ROWS_AT_ONCE = 1024
_MADE = (Status.COMPLETE, Status.ABSENT, Status.UNREADABLE)
_TOLD: dict[str, str] = {
    "status": "statuses",
    "problem": "notes",
    "source": "records of source files",
    "digest": "digests",
}

_REMEDY_OF_CHUNK = "`weldcache verify --mend` keeps what can be proved; `weldcache extract` computes the rest again."
_REMEDY_OF_STATUS = "The sample reads as one that was never extracted, so nothing wrong is read. " + MEND
_REMEDY_OF_PROVED = "`weldcache verify --mend` sets the status right; nothing is computed again."
_REMEDY_OF_NO_SOURCE = "A change of its files cannot be noticed. " + MEND
_REMEDY_OF_BEGUN = "Nothing needs to be done: `weldcache extract` computes them."


@dataclass(frozen=True)
class _UnsoundRow:
    """A row whose digest speaks of something else than what is there.

    Attributes:
        proved: the status with which the digest does speak of what is there, if any.
    """

    row: int
    status: Status
    proved: Status | None


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
    unsound = list(_unsound_rows(findings.store, findings.feature_set, rows[~np.isin(rows, told)]))
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


def _tell_unsound(findings: SetFindings, row: _UnsoundRow) -> None:
    if row.proved:
        evidence = f"its status is {row.status.name}, and its digest proves {row.proved.name}: it was edited"
        findings.tell_row("digests", "error", evidence, _REMEDY_OF_PROVED, row=row.row, mend="salvage")
    else:
        evidence = "its chunks, note, sources and status were not recorded together: some were exchanged or edited"
        findings.tell_row("digests", "error", evidence, MEND, row=row.row, mend="salvage")


def _unsound_rows(store: FeatureStore, feature_set: str, rows: Int64[np.ndarray, " row"]) -> Iterator[_UnsoundRow]:
    """Those of `rows` whose records and chunks are not the ones that were recorded together.

    None of their chunks of records may be damaged. A row that somebody writes meanwhile is not judged: where its digest
    and status are the same before and after it was looked at, in this order, so was all between.
    """
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        digests, statuses = store.records.digests(feature_set, block), store.records.statuses(feature_set, block)
        found = {}
        for place, record in enumerate(_records(store, feature_set, block.tolist(), statuses.tolist())):
            key, digest = str(store.index.keys[record.row]), int(digests[place])
            if not digest and record.status == Status.MISSING:
                continue  # it was never recorded, or is forgotten
            if digest_of(_cut(record), key=key) != digest:
                others = [replace(record, status=status) for status in _MADE if status != record.status]
                proved = [other.status for other in others if digest_of(_cut(other), key=key) == digest]
                found[place] = _UnsoundRow(record.row, record.status, proved[0] if proved else None)
        same = store.records.statuses(feature_set, block) == statuses
        same &= store.records.digests(feature_set, block) == digests
        yield from (unsound for place, unsound in found.items() if same[place])


def salvage(store: FeatureStore, feature_set: str, number: int) -> tuple[dict[str, Values], list[int]]:
    """What can be known of a chunk of records, by group; and the rows that become MISSING because it cannot.

    A status, a note or sources that are lost are tried with what they can have been: the row's digest tells. Where
    digests alone are lost they are made anew, since all else has its own checksums.
    """
    layout = store.records.layout
    first = number * layout.rows_a_chunk
    rows = list(range(first, min(first + layout.rows_a_chunk, len(store.index))))
    values, damaged = _look(store, feature_set, number)
    checksums = _checksums(store, feature_set, rows)
    made = {group: store.records.array(group, feature_set).blank() for group in layout.groups}
    lost = []
    for place, row in enumerate(rows):
        told = {group: of_group[place] for group, of_group in values.items()}
        sources = _decoded(told["source"])
        damaged_here = damaged | ({"source"} if sources is None else set())
        record = Record(feature_set, row, Status.MISSING, told["problem"], sources or (), checksums[place])
        known = _known(store, record, told, damaged_here)
        if known is None:
            lost.append(row)
            known = _missing(told, damaged_here)
        for group, value in known.items():
            made[group][place] = value
    return made, lost


def _look(store: FeatureStore, feature_set: str, number: int) -> tuple[dict[str, Values], set[str]]:
    """What a chunk of records says, by group, as far as it can be understood; and the groups that lost some of it."""
    values: dict[str, Values] = {}
    damaged: set[str] = set()
    gone: set[str] = set()
    for group in store.records.layout.groups:
        array = store.records.array(group, feature_set)
        (content,) = array.contents([number])
        decoded = array.decoded(content)
        if content is None:
            gone.add(group)
        if decoded is None:
            damaged.add(group)
        values[group] = array.salvaged(content or b"") if decoded is None else decoded
    if "status" in gone and "digest" in values and values["digest"].any():
        damaged.add("status")
    if "digest" in gone:
        damaged.add("digest")
    return values, damaged


def _known(store: FeatureStore, record: Record, told: Mapping[str, Any], damaged: Set[str]) -> Mapping[str, Any] | None:
    """What is to stand in each array for a row, None where it cannot be known. `record` has no status yet."""
    digest, status, has_digests = int(told.get("digest", 0)), told["status"], "digest" in told
    if digest:
        statuses = {status} & set(Status) | (set(_MADE) if status != Status.MISSING or "status" in damaged else set())
        for guess, note, sources in product(statuses, {record.note, ""}, {tuple(record.sources), ()}):
            tried = _cut(replace(record, status=Status(guess), note=note, sources=sources))
            if digest_of(tried, key=str(store.index.keys[record.row])) == digest:
                return store.records.values_of(tried)
        return _missing(told, damaged) if status == Status.MISSING and "status" not in damaged else None
    if "status" in damaged:  # of a row that was recorded the digest is lost too
        return _missing(told, damaged) if has_digests and "digest" not in damaged else None
    if status == Status.MISSING:
        return _missing(told, damaged)
    if status > max(Status) or not damaged <= {"digest"}:
        return None
    return store.records.values_of(_cut(replace(record, status=Status(status))))


def _missing(told: Mapping[str, Any], damaged: Set[str]) -> dict[str, Any]:
    """A row without a status, with the texts that are whole."""
    texts = {group: told[group] for group in ("problem", "source") if group not in damaged}
    return {group: 0 if group in ("status", "digest") else "" for group in told} | texts


def _cut(record: Record) -> Record:
    """Chunks that a row has although it is not complete, of an interruption, are not recorded."""
    return record if record.status == Status.COMPLETE else replace(record, checksums={})


def _records(store: FeatureStore, feature_set: str, rows: Sequence[int], statuses: Sequence[int]) -> Iterator[Record]:
    """What is recorded of rows, with the checksums that stand in their chunks now."""
    notes, texts = (store.records.array(group, feature_set).read(rows) for group in ("problem", "source"))
    checksums = _checksums(store, feature_set, rows)
    for place, row in enumerate(rows):
        sources = _decoded(texts[place])
        if sources is None:  # no row is made from a file of this size
            sources = (SourceFile(texts[place], -1, 0, ""),)
        yield Record(feature_set, row, Status(statuses[place]), notes[place], sources, checksums[place])


def _checksums(store: FeatureStore, feature_set: str, rows: Sequence[int]) -> list[dict[str, int]]:
    """The checksum at the end of each of a row's chunks, by array; nothing for a chunk that is gone."""
    found: list[dict[str, int]] = [{} for _ in rows]
    for name in store.arrays(feature_set):
        ends = store.chunks(f"{feature_set}/{name}").checksums(rows)
        for of_row, end in zip(found, ends, strict=True):
            if end is not None:
                of_row[name] = end
    return found


def _decoded(text: str) -> tuple[SourceFile, ...] | None:
    """The files that a text names; None where it is not what was encoded."""
    try:
        return decode_sources(text)
    except ValueError:
        return None
