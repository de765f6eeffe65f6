"""Writing rows: data first and synced, then the status that makes them exist."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray

from ..atomic import fsync_path
from ..errors import StoreError
from .chunks import chunk_path, write_chunk
from .precision import to_storage
from .status import Status
from .store import FeatureStore


class StoreWriter:
    """Writes rows of a store; other writers may be at work, as long as the rows are not the same."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def write(
        self,
        modality: str,
        rows: Sequence[int],
        features: Sequence[Mapping[str, NDArray[np.generic]]],
        *,
        notes: Sequence[str] | None = None,
    ) -> None:
        """Write complete rows: `features[i]` holds every array of the modality for `rows[i]`.

        `notes[i]` says what is not quite whole about the row ("" for nothing), such as a view that was not taken. All
        rows' bytes are on the disk before the first status is written, so that at every moment a row that says it is
        complete is complete.

        Raises:
            PrecisionError: if a value does not fit its storage type.
            StoreError: if the disk is full or refuses the write.
        """
        specs = [self._store.array_spec(f"{modality}/{name}") for name in self._store.manifest[modality]["arrays"]]
        with _disk_errors(self._store.path):
            for spec in specs:
                folder = self._store.path / "features" / modality / spec.name
                for row, arrays in zip(rows, features, strict=True):
                    owner = f"{self._store.index.keys[row]}, {modality}"
                    values = to_storage(arrays[spec.name], spec, owner=owner)
                    write_chunk(chunk_path(folder, row, num_axes=len(spec.shape) + 1), values)
                fsync_path(folder)
            for row, note in zip(rows, notes or [""] * len(rows), strict=True):
                self._note(modality, row, note)
            self._mark(modality, rows, Status.COMPLETE)

    def report(self, modality: str, row: int, status: Status, *, reason: str) -> None:
        """Record that a row has no features, and why: ABSENT or UNREADABLE."""
        assert status in (Status.ABSENT, Status.UNREADABLE)
        with _disk_errors(self._store.path):
            self._note(modality, row, reason)
            self._mark(modality, [row], status)

    def _note(self, modality: str, row: int, text: str) -> None:
        folder = self._store.path / "problem" / modality
        path = chunk_path(folder, row, num_axes=1)
        if text:
            zarr.open_array(folder, mode="r+")[row] = text
            fsync_path(path)
        else:
            path.unlink(missing_ok=True)  # what an earlier, failed attempt said

    def _mark(self, modality: str, rows: Sequence[int], status: Status) -> None:
        fsync_path(self._store.path / "problem" / modality)  # a status never outlives its reason
        folder = self._store.path / "status" / modality
        for row in rows:
            write_chunk(chunk_path(folder, row, num_axes=1), np.array(status, dtype=np.uint8))
        fsync_path(folder)


class _disk_errors:
    """Turn the operating system's refusal to write into a sentence; what was complete stays complete."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise StoreError(
                f"Writing to {self._path} failed: {error.strerror or error}. Complete rows are safe; make room and "
                "run the same command again to do the rest."
            ) from error
