"""What a verification looked at, row by row, in few bytes: rows that are made later do not pass for verified."""

import base64
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8, UInt32

from ...errors import StoreError
from ..source_files import SourceFile
from ..status import Status
from ..store import FeatureStore

_ROWS_AT_ONCE = 1024
_TYPE = np.dtype("<u4")


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
    """Digests as recorded; none where what is recorded is not that."""
    try:
        return np.frombuffer(base64.b64decode(str(text or ""), validate=True), dtype=_TYPE)
    except ValueError:
        return np.zeros(0, dtype=_TYPE)
