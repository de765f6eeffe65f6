"""Files that have changed since rows were made from them: noticed by size and time, proved by their hash."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cache.source_files import SourceFile, source_file
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from .modalities.modality import Encoder
from .sample import Sample

_ROWS_AT_ONCE = 1024  # whose sources are in memory together


@dataclass(frozen=True)
class Change:
    """A complete row of a feature set whose files are not what it was made from."""

    feature_set: str
    row: int
    key: str
    what: str  # in words for the user: which file, and what happened to it


def find_changes(
    store: FeatureStore,
    samples: Sequence[Sample],
    encoders: Mapping[str, Encoder],
    *,
    root: Path,
    rehash: bool = False,
    writer: StoreWriter | None = None,
) -> Iterator[Change]:
    """Look at the files of every complete row of `samples`.

    A file with another size or time than recorded is hashed; with `rehash` every file is. Where the bytes turn out to
    be the same, `writer`, if given, records the new time, so that the next look is quick again.
    """
    row_of = store.index.row_of()
    by_row = {row_of[sample.key]: sample for sample in samples if sample.key in row_of}
    for modality, encoder in encoders.items():
        for spec in encoder.specs:
            if spec.name not in store.feature_sets:
                continue
            complete = [int(row) for row in np.flatnonzero(store.status(spec.name) == Status.COMPLETE) if row in by_row]
            for start in range(0, len(complete), _ROWS_AT_ONCE):
                rows = complete[start : start + _ROWS_AT_ONCE]
                for row, recorded in zip(rows, store.sources(spec.name, rows), strict=True):
                    sample = by_row[row]
                    what, renewed = _compare(recorded, _files(encoder, sample, modality), root=root, rehash=rehash)
                    if what:
                        yield Change(spec.name, row, sample.key, what)
                    elif renewed and writer is not None:
                        writer.renew_sources(spec.name, row, renewed)


def _files(encoder: Encoder, sample: Sample, modality: str) -> tuple[Path, ...]:
    return () if modality in sample.absent else encoder.reader.files(sample)


def _compare(
    recorded: Sequence[SourceFile], files: Sequence[Path], *, root: Path, rehash: bool
) -> tuple[str, tuple[SourceFile, ...]]:
    """What has changed ("" for nothing), and the files as they are now where only their times differ."""
    before = {file.path: file for file in recorded}
    now = {path.relative_to(root).as_posix(): path for path in files}
    if gone := sorted(before.keys() - now.keys()):
        return f"{gone[0]} is gone", ()
    if new := sorted(now.keys() - before.keys()):
        return f"{new[0]} is new", ()
    current = []
    for name, path in now.items():
        held = before[name]
        try:
            stat = path.stat()
            untouched = (stat.st_size, stat.st_mtime_ns) == (held.size, held.mtime_ns)
            seen = held if untouched and not rehash else source_file(path, root=root)
        except OSError as error:
            return f"{name} cannot be read any more ({error.strerror})", ()
        if not seen.same_content(held):
            return f"{name} has other bytes", ()
        current.append(seen)
    return "", tuple(current) if current != list(recorded) else ()
