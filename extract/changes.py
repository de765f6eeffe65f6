"""Files that have changed since rows were made from them: noticed by size and time, proved by their hash."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..cache.source_files import SourceFile, source_file
from ..cache.status import Status
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from ..progress import Progress
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
    progress: Progress | None = None,
) -> Iterator[Change]:
    """Look at the files of every complete row of `samples`.

    A file with another size or time than recorded is hashed; with `rehash` every file is. Where the bytes turn out to
    be the same, `writer`, if given, records the new time, so that the next look is quick again. `progress` counts the
    rows, once for each modality.

    Raises:
        StoreError: if the store's record of a row's files is damaged.
    """
    row_of = store.index.row_of()
    by_row = {row_of[sample.key]: sample for sample in samples if sample.key in row_of}
    for modality, encoder in encoders.items():
        names = [spec.name for spec in encoder.specs if spec.name in store.feature_sets]
        complete = {name: store.status(name) == Status.COMPLETE for name in names}
        rows = [row for row in sorted(by_row) if any(complete[name][row] for name in names)]
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            block = rows[start : start + _ROWS_AT_ONCE]
            recorded = {name: store.sources(name, block) for name in names}
            for place, row in enumerate(block):
                files = _FilesNow(by_row[row], modality, encoder, root=root, rehash=rehash)
                for name in names:
                    if not complete[name][row]:
                        continue
                    what, renewed = files.compare(recorded[name][place])
                    if what:
                        yield Change(name, row, by_row[row].key, what)
                    elif renewed and writer is not None:
                        writer.renew_sources(name, row, renewed)
                if progress is not None:
                    progress.advance()


class _FilesNow:
    """The files of one sample in one modality as they are now, each hashed once at most."""

    def __init__(self, sample: Sample, modality: str, encoder: Encoder, *, root: Path, rehash: bool) -> None:
        files = () if modality in sample.absent else encoder.reader.files(sample)
        self._paths = {path.relative_to(root).as_posix(): path for path in files}
        self._root = root
        self._rehash = rehash
        self._hashed: dict[str, SourceFile] = {}

    def compare(self, recorded: Sequence[SourceFile]) -> tuple[str, tuple[SourceFile, ...]]:
        """What has changed ("" for nothing), and the files as they are now where only their times differ."""
        before = {file.path: file for file in recorded}
        if gone := sorted(before.keys() - self._paths.keys()):
            return f"{gone[0]} is gone", ()
        if new := sorted(self._paths.keys() - before.keys()):
            return f"{new[0]} is new", ()
        current = []
        for name, held in before.items():
            try:
                seen = self._look(name, held)
            except OSError as error:
                return f"{name} cannot be read any more ({error.strerror})", ()
            if not seen.same_content(held):
                return f"{name} has other bytes", ()
            current.append(seen)
        return "", tuple(current) if current != list(recorded) else ()

    def _look(self, name: str, held: SourceFile) -> SourceFile:
        stat = self._paths[name].stat()
        if (stat.st_size, stat.st_mtime_ns) == (held.size, held.mtime_ns) and not self._rehash:
            return held
        if name not in self._hashed:
            self._hashed[name] = source_file(self._paths[name], root=self._root)
        return self._hashed[name]
