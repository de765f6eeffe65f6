"""Writing rows: data first and synced, then the status that makes them exist."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from ..errors import disk_errors
from .chunks import write_arrays
from .nodes import inside
from .records import Record
from .status import SourceFile, Status
from .store import FeatureStore


class StoreWriter:
    """Writes rows of a store.

    Records of many rows share a file, which is read, changed and replaced. So one writer is at work at a time; or each
    has rows of its own and holds what `recording` makes, a lock that all of them share, while it changes records.
    """

    def __init__(
        self, store: FeatureStore, *, recording: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._store = store
        self._recording = recording

    def write_features(
        self,
        feature_set: str,
        rows: Sequence[int],
        features: Mapping[str, NDArray[np.generic]],
        *,
        sources: Sequence[Sequence[SourceFile]],
        notes: Sequence[str],
    ) -> list[Record]:
        """Write the bytes of complete rows: `features` holds every array of the set in its storage type, row axis
        first. The rows exist once the records that this returns are written too, together with those of other sets.

        `sources[i]` are the files that row i was made from; `notes[i]` says what is not quite whole about it ("" for
        nothing), such as a view that was not taken. On return all bytes are on the disk.

        Raises:
            StoreError: if the disk is full or refuses the write.
        """
        folder = f"features/{feature_set}"
        arrays = {
            inside(self._store.folder, f"{folder}/{name}"): features[name] for name in self._store.arrays(feature_set)
        }
        with disk_errors(self._store.folder):
            # Those that were absent or unreadable before. Where there are none, nobody who records has to wait.
            if self._store.records.any_recorded(feature_set, rows):
                with self._recording():
                    self._store.records.withdraw(feature_set, rows)
            checksums = write_arrays(arrays, rows)
        return [
            Record(
                feature_set,
                row,
                Status.COMPLETE,
                notes[place],
                tuple(sources[place]),
                {path.name: int(of_array[place]) for path, of_array in checksums.items()},
            )
            for place, row in enumerate(rows)
        ]

    def record(self, records: Sequence[Record]) -> None:
        """Record rows, their status last, so that at every moment a row that says it is complete is complete.

        Raises:
            StoreError: if the disk is full or refuses the write, or records of the same rows are damaged.
        """
        with disk_errors(self._store.folder), self._recording():
            self._store.records.write(records)

    def write(
        self,
        feature_set: str,
        rows: Sequence[int],
        features: Mapping[str, NDArray[np.generic]],
        *,
        sources: Sequence[Sequence[SourceFile]],
        notes: Sequence[str],
    ) -> None:
        """As `write_features`, and record the rows at once."""
        self.record(self.write_features(feature_set, rows, features, sources=sources, notes=notes))

    def report(
        self, feature_set: str, row: int, status: Status, *, reason: str, sources: Sequence[SourceFile] = ()
    ) -> None:
        """Record that a row has no features, and why: ABSENT, UNREADABLE, or MISSING where the backbone failed."""
        assert status != Status.COMPLETE
        self.record([Record(feature_set, row, status, reason, tuple(sources))])

    def renew_sources(self, feature_set: str, sources: Mapping[int, Sequence[SourceFile]]) -> None:
        """Record, by row, that files have other times and the same bytes."""
        with disk_errors(self._store.folder):
            self._store.records.write_sources(feature_set, sources)
