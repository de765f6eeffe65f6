"""The arrays of a feature set: chunks whole, values possible, no two samples alike, and something to learn from."""

from collections.abc import Callable, Mapping

import numpy as np
from jaxtyping import Int64, UInt8
from numpy.typing import NDArray

from ...errors import StoreError
from ...findings import Severity
from ...wording import count_of
from ..arrays import ArraySpec
from ..chunk_files import CHECKSUM
from ..chunks import RowChunks
from ..splits import LEFT_OUT
from ..status import Status
from .chunk_scan import ArrayScan, chunk_is_whole, equal_rows, least_spread, scan_array
from .outcome import MEND
from .set_findings import SetFindings

_REMEDY_OF_LEFTOVERS = "Nothing needs to be done: nobody reads them, and `weldcache extract` replaces them."
_REMEDY_OF_EVEN_ROW = (
    "Look at the sample's files: one that holds nothing gives such features, and so does one that is decoded wrongly."
)
_REMEDY_OF_NO_SPREAD = "Look at the backbone's weights and at what it is fed: nothing can be learned from these values."
_REMEDY_OF_EQUAL_FILES = "Take one of the two out of the data set, or give it its own files."
_REMEDY_OF_EQUAL_ROWS = (
    "Look at the files of both: two of nothing, such as silence of one length, give equal features, and so does one "
    "that is decoded wrongly. Computing them again gives the same."
)


def verify_arrays(
    findings: SetFindings, status: UInt8[np.ndarray, " row"], *, advance: Callable[[int], None]
) -> dict[str, int]:
    """Look through every array; return how many rows of each were compared with each other."""
    complete = np.flatnonzero(status == Status.COMPLETE)
    arrays = findings.store.arrays(findings.feature_set)
    compared: dict[str, int] = {}
    twins: dict[tuple[int, int], list[str]] = {}
    for name, spec in arrays.items():
        _tell_leftovers(findings, name, spec, status)
        ragged = f"{name}_length" in arrays
        lengths = _lengths(findings, name, spec, complete) if ragged else None
        chunks = findings.chunks(name)
        scan = scan_array(chunks, spec, complete, lengths=lengths, advance=advance)
        findings.num_files += len(complete)
        findings.num_bytes += scan.num_bytes
        _tell_broken(findings, name, spec, scan)
        _tell_values(findings, name, spec, scan)
        if spec.distinct:
            # What the data set lists no more has a twin wherever a file was renamed.
            looked_at = ~np.isin(complete, scan.broken) & (findings.store.index.parts[complete] != LEFT_OUT)
            compared[name] = int(looked_at.sum())
            rows, signatures = complete[looked_at], scan.signatures[looked_at]
            for pair in equal_rows(chunks, rows=rows, signatures=signatures):
                twins.setdefault(pair, []).append(name)
    _tell_twins(findings, twins)
    return compared


def _tell_leftovers(findings: SetFindings, name: str, spec: ArraySpec, status: UInt8[np.ndarray, " row"]) -> None:
    present = findings.chunks_in(findings.array_folder(name), num_axes=len(spec.shape) + 1)
    left = np.flatnonzero(present & (status != Status.COMPLETE))
    told = findings.rows_with_errors()
    left = left[np.isin(left, findings.rows_to_judge()) & ~np.isin(left, told)]  # others' statuses are damaged
    left = left[findings.store.records.statuses(findings.feature_set, left) != Status.COMPLETE]
    if len(left):
        chunks_left = count_of(len(left), "chunk of a row that is not complete", "chunks of rows that are not complete")
        evidence = f"{chunks_left}, of an interruption: {findings.keys(left)}"
        findings.tell("status", "note", evidence, _REMEDY_OF_LEFTOVERS, array=name)


def _lengths(
    findings: SetFindings, name: str, spec: ArraySpec, complete: Int64[np.ndarray, " row"]
) -> NDArray[np.int32]:
    """How much of each row is real; all of it where its length cannot be, so that none of it is taken for padding."""
    length_name, capacity = f"{name}_length", spec.shape[0]
    chunks = findings.chunks(length_name)
    lengths = np.full(len(complete), capacity, dtype=np.int32)
    for position, row in enumerate(complete.tolist()):
        whole = chunk_is_whole(chunks, row, out=lengths[position : position + 1])
        if not whole or not 1 <= lengths[position] <= capacity:
            if whole:
                evidence = f"a length of {lengths[position]}, where 1 to {capacity} are possible"
                findings.tell_row("values", "error", evidence, MEND, row=row, array=length_name)
            lengths[position] = capacity
    return lengths


def _tell_broken(findings: SetFindings, name: str, spec: ArraySpec, scan: ArrayScan) -> None:
    chunks = findings.chunks(name)
    for row in scan.broken:
        # A second look: the row may have been forgotten or made anew since.
        if findings.still_complete(row) and not chunk_is_whole(chunks, row) and findings.still_complete(row):
            check, evidence = _what_is_broken(chunks, row, num_bytes=spec.row_bytes + CHECKSUM.size)
            findings.tell_row(check, "error", evidence, MEND, row=row, array=name, file=chunks.name_of(row))


def _what_is_broken(chunks: RowChunks, row: int, *, num_bytes: int) -> tuple[str, str]:
    try:
        size = chunks.size_of(row)
    except OSError as error:
        return "status", f"the row is marked complete and its chunk cannot be had ({error.strerror})"
    if size != num_bytes:
        return "checksums", f"the chunk is {size:,} bytes long, where {num_bytes:,} belong"
    return "checksums", "the chunk does not match its checksum, or cannot be read"


def _tell_values(findings: SetFindings, name: str, spec: ArraySpec, scan: ArrayScan) -> None:
    for row in scan.not_finite:
        findings.tell_row("values", "error", "NaN or infinity", MEND, row=row, array=name)
    for row in scan.badly_padded:
        findings.tell_row("values", "error", "values behind its length, where zeros belong", MEND, row=row, array=name)
    for row in scan.even:
        evidence = "all values of the row are one value"
        findings.tell_row("variation", "warning", evidence, _REMEDY_OF_EVEN_ROW, row=row, array=name, mend="")
    spread = None if scan.spread is None else scan.spread.of_scale()
    if spread is not None and spread < least_spread(spec):
        evidence = (
            f"the values do not depend on the sample: over {len(scan.rows):,} of them they spread by {spread:.1e} of "
            f"their size, and {least_spread(spec):.1e} is what {spec.dtype} and rounding do to them"
        )
        findings.tell("variation", "error", evidence, _REMEDY_OF_NO_SPREAD, array=name)


def _tell_twins(findings: SetFindings, twins: Mapping[tuple[int, int], list[str]]) -> None:
    """Equal rows are the data set's affair: digests tell of chunks that were copied from one row to another."""
    notes = findings.store.records.array("problem", findings.feature_set)
    for (first, second), arrays in twins.items():
        one, other = findings.store.index.keys[[first, second]].tolist()
        equal = f"{one} and {other} have equal values in {', '.join(arrays)}"
        severity: Severity = "warning"
        if _have_equal_files(findings, first, second):
            evidence = f"{equal}; their files are equal too, so the data set holds one sample twice"
            remedy = _REMEDY_OF_EQUAL_FILES
        else:
            evidence, remedy = f"{equal}; their files differ", _REMEDY_OF_EQUAL_ROWS
            # Of two that hold nothing it is said in their notes already, and it is so whenever they are read.
            if (notes.read([first, second], damaged_as_blank=True) != "").all():
                severity = "note"
        findings.tell_row("duplicates", severity, evidence, remedy, row=second, mend="")


def _have_equal_files(findings: SetFindings, first: int, second: int) -> bool:
    """Whether two rows were made from files with the same bytes, in whatever order."""
    try:
        made_from = findings.store.sources(findings.feature_set, [first, second])
    except StoreError:
        return False
    mine, theirs = (sorted(file.sha256 for file in files) for files in made_from)
    return bool(mine) and mine == theirs
