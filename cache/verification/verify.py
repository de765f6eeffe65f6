"""Is a store what it says it is? Every byte, status, value and description of it, checked against each other.

Verifying takes no lock and memory that does not grow with the rows, but for a few bytes each. A store that is being
written at the same time gives no false alarm: a row is looked at by its status, which is written last, and what then
seems wrong is looked at again before it is told.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ...findings import Check, Finding
from ...progress import ByteProgress
from ...wording import format_size
from ..nodes import inside
from ..status import Status
from ..store import FeatureStore
from .arrays import verify_arrays
from .metadata import restore_metadata, verify_metadata
from .outcome import StoreFinding
from .records import salvage, verify_digests, verify_records
from .set_findings import SetFindings, is_unfinished

_FORMER_SCHEMA = "the store is of a former schema, without digests: rows that were exchanged cannot be noticed"
_REMEDY_OF_FORMER_SCHEMA = "Damage is found as ever. To have more found, extract into another --cache."


def verify_store(store: FeatureStore) -> list[Check]:
    """Check the store alone, without its data set and its backbones.

    Any one byte of any chunk file that is not what was written is found; and whatever was exchanged between rows or
    edited, with checksums that are right.
    """
    metadata, num_nodes = verify_metadata(store)
    by_set: list[SetFindings] = []
    statuses = {name: store.status(name) for name in store.feature_sets}
    num_compared = num_complete = 0
    has_digests = store.records.layout.has_digests
    with ByteProgress(
        f"Verifying {PurePosixPath(str(store.path)).name}", num_bytes=_num_bytes(store, statuses)
    ) as progress:
        for name in store.feature_sets:
            findings = SetFindings(store, name)
            verify_records(findings)
            status = findings.statuses()
            num_compared += sum(verify_arrays(findings, status, advance=progress.advance).values())
            if has_digests:
                verify_digests(findings)
            num_complete += int(np.sum(status == Status.COMPLETE))
            by_set.append(findings)
    found = [finding for findings in by_set for finding in findings.found]
    if not has_digests:
        found.append(StoreFinding("digests", "note", _FORMER_SCHEMA, _REMEDY_OF_FORMER_SCHEMA))
    num_files = sum(findings.num_files for findings in by_set)
    num_bytes = sum(findings.num_bytes for findings in by_set)
    num_statuses = len(store.index) * len(statuses)
    return [
        _check("metadata", f"{num_nodes:,} arrays and groups, {len(store.index):,} rows of the index", metadata),
        _check("status", f"{num_statuses:,} statuses, {num_complete:,} of them complete", found),
        _check("checksums", f"{num_files:,} chunk files, {format_size(num_bytes)} of features", found),
        _check(
            "digests",
            f"{num_statuses if has_digests else 0:,} rows of feature sets with what is recorded of them",
            found,
        ),
        _check("values", f"{format_size(num_bytes)}: NaN, infinity, lengths, padding", found),
        _check("variation", f"{num_complete:,} rows within themselves, arrays over their rows", found),
        _check("duplicates", f"{num_compared:,} rows of arrays with each other", found),
    ]


def mend_store(store: FeatureStore, findings: Sequence[Finding]) -> int:
    """Do what findings say can be done; return for how many it was. The caller holds the store's lock.

    Rows are marked MISSING, so that the next `weldcache extract` computes them again; nothing that could be read
    correctly before is lost. Records that were damaged come back as far as digests prove them.
    """
    rows_a_chunk = store.records.layout.rows_a_chunk
    mendable = [finding for finding in findings if isinstance(finding, StoreFinding) and finding.mend]
    # First, since rows in a damaged chunk can be forgotten only when it is whole again.
    for name, number in dict.fromkeys(
        (finding.feature_set, finding.row // rows_a_chunk)
        for finding in mendable
        if finding.mend == "salvage" and finding.row is not None
    ):
        store.replace_records(name, number, salvage(store, name, number)[0])
    forgotten: dict[str, list[int]] = {}
    for finding in mendable:
        if finding.mend == "forget" and finding.row is not None:
            forgotten.setdefault(finding.feature_set, []).append(finding.row)
        elif finding.mend == "sweep":
            folder = inside(store.folder, finding.file)
            for path in [path for path in folder.iterdir() if is_unfinished(path.name) and not path.is_dir()]:
                path.unlink()
    for name, rows in forgotten.items():
        store.forget(name, sorted(set(rows)))
    for name in {finding.part.removeprefix("constants/") for finding in mendable if finding.mend == "drop"}:
        store.drop_constant(name)
    restore_metadata(store, [str(Path(finding.file).parent) for finding in mendable if finding.mend == "restore"])
    return len(mendable)


def _num_bytes(store: FeatureStore, statuses: dict[str, np.ndarray]) -> int:
    """Bytes of features that will be read."""
    return sum(
        spec.row_bytes * int(np.sum(status == Status.COMPLETE))
        for name, status in statuses.items()
        for spec in store.arrays(name).values()
    )


def _check(name: str, looked_at: str, findings: Sequence[Finding]) -> Check:
    return Check(name, looked_at, [finding for finding in findings if finding.check == name])
