"""From what backbones made of a group to rows in the store: brought to the host, cast, written, by one thread."""

import time
from collections.abc import Callable, Mapping, Sequence

from ..cache.precision import to_storage
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from .batching import Encoded
from .modalities.modality import Prepared
from .pool.read_task import Failure, ReadTask


class GroupWriter:
    """Writes groups to `store`; `set_names` are the feature sets that each modality makes.

    Attributes:
        encoding_seconds: that the backbones were at work, for what was written so far.
        writing_seconds: that this was at work on the disk.
    """

    def __init__(self, store: FeatureStore, set_names: Mapping[str, Sequence[str]]) -> None:
        self._store = store
        self._writer = StoreWriter(store)
        self._modality_of = {name: modality for modality, names in set_names.items() for name in names}
        self.encoding_seconds = 0.0
        self.writing_seconds = 0.0

    def write(self, group: Sequence[ReadTask], encoded: Mapping[str, Encoded], seconds: Callable[[], float]) -> None:
        """Write what every row of the group lacks; `seconds` tells how long the backbones were at work on it.

        Raises:
            PrecisionError: if a value does not fit its storage type; the sets before it are written.
            StoreError: if the disk is full or refuses the write.
        """
        by_row = {item.task.row: item for item in group}
        for made in encoded.values():
            for name in made.features:
                self._write_set(name, made, by_row)
        for item in group:
            self._report_failures(item, encoded)
        self.encoding_seconds += seconds()

    def _write_set(self, name: str, made: Encoded, by_row: Mapping[int, ReadTask]) -> None:
        modality = self._modality_of[name]
        places = [place for place, row in enumerate(made.rows) if name in by_row[row].task.write]
        if not places:
            return
        rows = [made.rows[place] for place in places]
        owners = [f"{by_row[row].task.sample.key}, {name}" for row in rows]
        specs, whole = self._store.arrays(name), len(places) == len(made.rows)
        values = {
            array: to_storage(tensor if whole else tensor[places], specs[array], owners=owners)
            for array, tensor in made.features[name].items()
        }
        started = time.perf_counter()
        self._writer.write(
            name,
            rows,
            values,
            sources=[by_row[row].sources[modality] for row in rows],
            notes=[_notes(by_row[row], modality) for row in rows],
        )
        self.writing_seconds += time.perf_counter() - started

    def _report_failures(self, item: ReadTask, encoded: Mapping[str, Encoded]) -> None:
        row = item.task.row
        for name in sorted(item.task.write):
            modality = self._modality_of[name]
            outcome, failed = item.prepared[modality], encoded[modality].failures.get(row)
            sources = item.sources[modality]
            if isinstance(outcome, Failure):
                self._writer.report(name, row, outcome.status, reason=outcome.reason, sources=sources)
            elif failed is not None:
                self._writer.report(name, row, Status.MISSING, reason=failed, sources=sources)


def _notes(item: ReadTask, modality: str) -> str:
    prepared = item.prepared[modality]
    return "; ".join(prepared.notes) if isinstance(prepared, Prepared) else ""
