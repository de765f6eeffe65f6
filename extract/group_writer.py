"""From what backbones made of a group to rows in the store: brought to the host, cast, written, by one thread.

Features are written at once, records of rows together with those of groups that come within a second: what no file is
there for takes no time to encode, and a sync of every group's records would then be all that a run does.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray

from ..cache.records import Record
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.tensors import to_storage
from ..cache.writer import StoreWriter
from ..errors import PrecisionError
from .batching import Encoded
from .features.kind import Prepared
from .pool.read_job import Failure, ReadJob

_PATIENCE = 1.0  # seconds of work that a kill may cost beside the group under way


class GroupWriter:
    """Writes groups to `store`; `set_names` are the feature sets that each feature makes, `recording` is as of
    `StoreWriter`. Use as a context manager: what waits to be recorded is, at its end.

    Attributes:
        encoding_seconds: that the backbones were at work, for what was written so far.
        writing_seconds: that this was at work on the disk.
    """

    def __init__(
        self,
        store: FeatureStore,
        set_names: Mapping[str, Sequence[str]],
        *,
        recording: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._store = store
        self._writer = StoreWriter(store, recording=recording)
        self._feature_of = {name: feature for feature, names in set_names.items() for name in names}
        self.encoding_seconds = 0.0
        self.writing_seconds = 0.0
        self._waiting: list[Record] = []
        self._last_flush = time.monotonic()

    def __enter__(self) -> "GroupWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def write(self, group: Sequence[ReadJob], encoded: Mapping[str, Encoded], seconds: Callable[[], float]) -> None:
        """Write what every row of the group lacks; `seconds` tells how long the backbones were at work on it.

        A row with a value that does not fit its storage type is reported missing, and costs the others nothing.

        Raises:
            PrecisionError: if no row of several fits: the storage type is at fault. The sets before it are written.
            StoreError: if the disk is full or refuses the write.
        """
        by_row = {item.job.row: item for item in group}
        for made in encoded.values():
            for name in made.features:
                self._write_set(name, made, by_row)
        for item in group:
            self._report_failures(item, encoded)
        if time.monotonic() - self._last_flush > _PATIENCE:
            self.flush()
        self.encoding_seconds += seconds()

    def _write_set(self, name: str, made: Encoded, by_row: Mapping[int, ReadJob]) -> None:
        feature = self._feature_of[name]
        places = [place for place, row in enumerate(made.rows) if name in by_row[row].job.write]
        if not places:
            return
        lost: dict[int, str] = {}
        try:
            values = self._cast(name, made, by_row, places=places)
        except PrecisionError:
            lost = self._lost_rows(name, made, by_row)
            places = [place for place in places if made.rows[place] not in lost]
            values = self._cast(name, made, by_row, places=places)
        rows = [made.rows[place] for place in places]
        started = time.perf_counter()
        if rows:
            sources = [by_row[row].sources[feature] for row in rows]
            notes = [_notes(by_row[row], feature) for row in rows]
            self._waiting += self._writer.write_features(name, rows, values, sources=sources, notes=notes)
        for row, reason in lost.items():
            if name in by_row[row].job.write:
                self._waiting.append(Record(name, row, Status.MISSING, reason, by_row[row].sources[feature]))
        self.writing_seconds += time.perf_counter() - started

    def _cast(
        self, name: str, made: Encoded, by_row: Mapping[int, ReadJob], *, places: Sequence[int]
    ) -> dict[str, NDArray[np.generic]]:
        """Every array of the set in its storage type, for the rows at `places` of the batch."""
        owners = [f"{by_row[made.rows[place]].job.sample.key}, {name}" for place in places]
        specs, whole = self._store.arrays(name), len(places) == len(made.rows)
        return {
            array: to_storage(tensor if whole else tensor[list(places)], specs[array], owners=owners)
            for array, tensor in made.features[name].items()
        }

    def _lost_rows(self, name: str, made: Encoded, by_row: Mapping[int, ReadJob]) -> dict[int, str]:
        """Rows of the batch that do not fit the storage types, each with the reason.

        Rows that need no writing are looked at too: where these fit, the storage type is not at fault.
        """
        lost: dict[int, str] = {}
        for place, row in enumerate(made.rows):
            try:
                self._cast(name, made, by_row, places=[place])
            except PrecisionError as error:
                lost[row] = str(error)
        if len(lost) == len(made.rows) > 1:
            raise PrecisionError(lost[made.rows[0]])
        return lost

    def _report_failures(self, item: ReadJob, encoded: Mapping[str, Encoded]) -> None:
        row = item.job.row
        for name in sorted(item.job.write):
            feature = self._feature_of[name]
            outcome, failed = item.prepared[feature], encoded[feature].failures.get(row)
            sources = item.sources[feature]
            if isinstance(outcome, Failure):
                self._waiting.append(Record(name, row, outcome.status, outcome.reason, sources))
            elif failed is not None:
                self._waiting.append(Record(name, row, Status.MISSING, failed, sources))

    def flush(self) -> None:
        """Record what waits to be recorded."""
        started = time.perf_counter()
        self._writer.record(self._waiting)
        self._waiting = []
        self.writing_seconds += time.perf_counter() - started
        self._last_flush = time.monotonic()


def _notes(item: ReadJob, feature: str) -> str:
    prepared = item.prepared[feature]
    return "; ".join(prepared.notes) if isinstance(prepared, Prepared) else ""
