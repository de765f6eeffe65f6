"""Writing rows: data first and synced, then the status that makes them exist."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError, WeldcacheError
from .chunks import write_rows, write_texts
from .nodes import inside
from .source_files import SourceFile, encode_sources
from .status import Status
from .store import FeatureStore


class StoreWriter:
    """Writes rows of a store; other writers may be at work, as long as the rows are not the same."""

    def __init__(self, store: FeatureStore) -> None:
        self._store = store

    def write(
        self,
        feature_set: str,
        rows: Sequence[int],
        features: Mapping[str, NDArray[np.generic]],
        *,
        sources: Sequence[Sequence[SourceFile]],
        notes: Sequence[str],
    ) -> None:
        """Write complete rows: `features` holds every array of the set in its storage type, row axis first.

        `sources[i]` are the files that row i was made from; `notes[i]` says what is not quite whole about it ("" for
        nothing), such as a view that was not taken. All bytes are on the disk before the first status is written, so
        that at every moment a row that says it is complete is complete.

        Raises:
            StoreError: if the disk is full or refuses the write.
        """
        with disk_errors(self._store.path):
            for name in self._store.arrays(feature_set):
                write_rows(inside(self._store.path, f"features/{feature_set}/{name}"), rows, features[name])
            self._mark(feature_set, rows, Status.COMPLETE, sources=sources, notes=notes)

    def report(
        self, feature_set: str, row: int, status: Status, *, reason: str, sources: Sequence[SourceFile] = ()
    ) -> None:
        """Record that a row has no features, and why: ABSENT, UNREADABLE, or MISSING where the backbone failed."""
        assert status != Status.COMPLETE
        with disk_errors(self._store.path):
            self._mark(feature_set, [row], status, sources=[sources], notes=[reason])

    def renew_sources(self, feature_set: str, row: int, sources: Sequence[SourceFile]) -> None:
        """Record that a row's files have other times and the same bytes."""
        with disk_errors(self._store.path):
            write_texts(inside(self._store.path, f"source/{feature_set}"), [row], [encode_sources(sources)])

    def _mark(
        self,
        feature_set: str,
        rows: Sequence[int],
        status: Status,
        *,
        sources: Sequence[Sequence[SourceFile]],
        notes: Sequence[str],
    ) -> None:
        path = self._store.path
        write_texts(inside(path, f"source/{feature_set}"), rows, [encode_sources(files) for files in sources])
        write_texts(
            inside(path, f"problem/{feature_set}"), rows, notes
        )  # "" removes what an earlier, failed attempt said
        write_rows(inside(path, f"status/{feature_set}"), rows, np.full(len(rows), status, dtype=np.uint8))


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write into a sentence; what was complete stays complete."""
    try:
        yield
    except WeldcacheError:
        raise  # some of which are OSErrors too, and have their own words
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "make room and" if full else "see that the folder can be written to, and"
        raise StoreError(
            f"Writing to {path} failed: {error.strerror or error}. Complete rows are safe; {advice} run the same "
            "command again to do the rest."
        ) from error
