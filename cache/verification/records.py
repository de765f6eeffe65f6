"""Statuses and texts of a feature set: are they whole, and do they agree with each other."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from ...errors import StoreError
from .. import chunks
from ..arrays import ArraySpec
from ..source_files import decode_sources
from ..status import Status
from .chunk_scan import chunk_is_whole
from .findings import MEND
from .set_findings import SetFindings

_STATUS = ArraySpec("status", (), (), "uint8")
_TEXTS_AT_ONCE = 256

_REMEDY_OF_STATUS = "The weld reads as one that was never extracted, so nothing wrong is read. " + MEND
_REMEDY_OF_TEXT = "The features are whole; what is noted about them is lost. " + MEND
_REMEDY_OF_NO_SOURCE = "A change of its files cannot be noticed. " + MEND


def verify_statuses(findings: SetFindings, status: UInt8[np.ndarray, " row"]) -> None:
    """Find statuses that are damaged, which read as MISSING, or that mean nothing."""
    folder = findings.folder("status")
    present = findings.rows_in(folder, num_axes=1)
    findings.num_files += int(present.sum())
    for row in np.flatnonzero(present & (status == Status.MISSING)).tolist():
        # MISSING is also written, where a backbone failed. And a status may be taken away while it is looked at.
        file = chunks.chunk_path(folder, row, num_axes=1)
        if not chunk_is_whole(folder, _STATUS, row) and file.exists() and not chunk_is_whole(folder, _STATUS, row):
            findings.tell_row("checksums", "error", "the status is damaged", _REMEDY_OF_STATUS, row=row, file=file)
    for row in np.flatnonzero(status > max(Status)).tolist():
        file = chunks.chunk_path(folder, row, num_axes=1)
        evidence = f"the status {status[row]} is none that there is"
        findings.tell_row("status", "error", evidence, _REMEDY_OF_STATUS, row=row, file=file)


def verify_texts(findings: SetFindings, group: str, complete: Int64[np.ndarray, " row"]) -> None:
    """Find damaged texts in `group`, which is problem or source, and complete rows whose sources are not recorded."""
    folder = findings.folder(group)
    present = findings.rows_in(folder, num_axes=1)
    findings.num_files += int(present.sum())
    noted = np.flatnonzero(present)
    for start in range(0, len(noted), _TEXTS_AT_ONCE):
        rows = noted[start : start + _TEXTS_AT_ONCE].tolist()
        for row in [] if _readable(folder, rows, group=group) else rows:
            if not _readable(folder, [row], group=group):
                file = chunks.chunk_path(folder, row, num_axes=1)
                evidence = f"the text in {group}/ is damaged"
                findings.tell_row("checksums", "error", evidence, _REMEDY_OF_TEXT, row=row, file=file)
    if group == "source":
        for row in complete[~present[complete]].tolist():
            if findings.still_complete(row) and not chunks.chunk_path(folder, row, num_axes=1).exists():
                evidence = "the files that it was made from are not recorded"
                findings.tell_row("status", "warning", evidence, _REMEDY_OF_NO_SOURCE, row=row)


def _readable(folder: Path, rows: Sequence[int], *, group: str) -> bool:
    try:
        for text in chunks.read_texts(folder, rows):
            if group == "source":
                decode_sources(text)
    except (StoreError, OSError, ValueError, TypeError):
        return False
    return True
