"""Files that have changed since rows were made from them: noticed by size and time, proved by their hash.

Numbers that the data set itself gives, such as columns of a table, are compared by their hash alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..cache.status import SourceFile, Status, encoded_numbers, source_file, stays_below
from ..cache.store import FeatureStore
from ..cache.writer import StoreWriter
from ..progress import Progress
from .features.kind import Encoder
from .sources.source import Sample

_TABLE_RECORDED = (
    "an earlier version recorded the whole table, so that whether these numbers changed cannot be told: restore the "
    "table for one `weldcache extract`, which records the numbers alone, or read them again with --refresh"
)
_ROWS_AT_ONCE = 1024  # whose sources are in memory together

Comparison = tuple[str, Sequence[SourceFile]]
"""What has changed, "" for nothing; and the files as they are now where only their times differ, else none."""


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
    writer: StoreWriter | None = None,
) -> Iterator[Change]:
    """Look at the files of every complete row of `samples`, in every feature set that the store has.

    A file with another size or time than recorded is hashed. Where the bytes turn out to be the same, `writer`, if
    given, records the new time, so that the next look is quick again. Of feature sets that none of `encoders` makes,
    the files that are recorded are looked at; a new file can only be told by what reads it.

    Raises:
        StoreError: if the store's record of a row's files is damaged.
    """
    files = CurrentFiles(root)
    for encoder in encoders.values():
        yield from changes_of_feature(store, samples, encoder, files=files, writer=writer)
    for name in sets_of_others(store, encoders):
        yield from changes_of_record(store, samples, name, files=files, writer=writer)


def sets_of_others(store: FeatureStore, encoders: Mapping[str, Encoder]) -> list[str]:
    """The store's feature sets that none of `encoders` makes."""
    made = {spec.name for encoder in encoders.values() for spec in encoder.specs}
    return [name for name in store.feature_sets if name not in made]


def changes_of_feature(
    store: FeatureStore,
    samples: Sequence[Sample],
    encoder: Encoder,
    *,
    files: "CurrentFiles",
    writer: StoreWriter | None = None,
    progress: Progress | None = None,
) -> Iterator[Change]:
    """As `find_changes`, in the feature sets of one encoder. `progress` counts the rows."""
    names, stream = [spec.name for spec in encoder.specs if spec.name in store.feature_sets], encoder.reader.stream

    # Rows of one session often have the same files; bounded, for those of a large data set name a million.
    @lru_cache(maxsize=_ROWS_AT_ONCE)
    def compared(name: str, text: str, paths: Sequence[Path], numbers: Sequence[SourceFile]) -> Comparison:
        present = {files.name_of(path): path for path in paths}
        return files.compare(store.records.sources_told(name, text), present=present, numbers=numbers)

    renewals: dict[str, dict[int, Sequence[SourceFile]]] = {name: {} for name in names}
    for sample, row, recorded in _complete_rows(store, samples, names, progress):
        paths = encoder.reader.files(sample) if sample.why_absent(stream) is None else ()
        # Numbers alone are compared as they would be recorded, undecoded: of a table that is most of the rows.
        told = encoded_numbers(stream, sample.vectors[stream]) if stream in sample.vectors and not paths else None
        for name, text in recorded.items():
            if text == told:
                continue
            what, renewed = compared(name, text, paths, sample.numbers(stream))
            if what:
                yield Change(name, row, sample.key, what)
            elif renewed:
                renewals[name][row] = renewed
    if writer is not None:
        for name, renewed_rows in renewals.items():
            writer.renew_sources(name, renewed_rows)


def changes_of_record(
    store: FeatureStore,
    samples: Sequence[Sample],
    feature_set: str,
    *,
    files: "CurrentFiles",
    writer: StoreWriter | None = None,
    progress: Progress | None = None,
) -> Iterator[Change]:
    """As `find_changes`, in one feature set, by the files that are recorded alone. `progress` counts the rows."""
    renewals: dict[int, Sequence[SourceFile]] = {}
    for sample, row, recorded in _complete_rows(store, samples, [feature_set], progress):
        held = store.records.sources_told(feature_set, recorded[feature_set])
        present = {file.path: files.root / file.path for file in held if files.holds(file.path)}
        numbers = [one for file in held if file.is_numbers for one in sample.numbers(file.name)]
        what, renewed = files.compare(held, present=present, numbers=numbers)
        if what:
            yield Change(feature_set, row, sample.key, what)
        elif renewed:
            renewals[row] = renewed
    if writer is not None:
        writer.renew_sources(feature_set, renewals)


class CurrentFiles:
    """Files of a data set as they are now, each hashed once at most, whatever was made from it.

    With `rehash` every file is hashed; without, those whose size or time is not what is recorded.
    """

    def __init__(self, root: Path, *, rehash: bool = False) -> None:
        self.root = root
        self._rehash = rehash
        self._hashed: dict[str, SourceFile] = {}

    def name_of(self, path: Path) -> str:
        """What a store calls a file below the root: the path from there, with forward slashes."""
        text, prefix = str(path), f"{self.root}/"
        # `relative_to` takes ten times as long, and tells of a path elsewhere that it is one.
        return text[len(prefix) :] if text.startswith(prefix) else path.relative_to(self.root).as_posix()

    def holds(self, name: str) -> bool:
        """Whether `name` is a file below the root."""
        return stays_below(name) and (self.root / name).is_file()

    def compare(
        self, recorded: Sequence[SourceFile], *, present: Mapping[str, Path], numbers: Sequence[SourceFile] = ()
    ) -> Comparison:
        """What a row was made from, against the files that would be read now, by name, and the `numbers` that the data
        set itself gives."""
        if numbers and not any(file.is_numbers for file in recorded):
            # From when the table that numbers stand in was recorded. With its bytes, the numbers are the same as well.
            kept = tuple(file for file in recorded if file.path in present)
            there = {file.path: self.root / file.path for file in recorded}
            what, _ = self.compare(recorded, present={**there, **present})
            return (f"{what} ({_TABLE_RECORDED})", ()) if what else ("", (*kept, *numbers))
        before, given = {file.path: file for file in recorded}, {file.path: file for file in numbers}
        if gone := sorted(before.keys() - present - given.keys()):
            return f"{before[gone[0]].name} is gone", ()
        if new := sorted(present.keys() - before.keys()):
            return f"{new[0]} is new", ()
        now = []
        for name, held in before.items():
            try:
                seen = given[name] if held.is_numbers else self._now(present[name], held)
            except OSError as error:
                return f"{name} cannot be read any more ({error.strerror})", ()
            if not seen.same_content(held):
                return f"{held.name} has other {'numbers' if held.is_numbers else 'bytes'}", ()
            # How much is in it was told by decoding these very bytes.
            now.append(seen if seen is held else replace(seen, extent=held.extent))
        return "", () if now == list(recorded) else now

    def _now(self, path: Path, held: SourceFile) -> SourceFile:
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns) == (held.size, held.mtime_ns) and not self._rehash:
            return held
        if held.path not in self._hashed:
            self._hashed[held.path] = source_file(path, root=self.root)
        return self._hashed[held.path]


def _complete_rows(
    store: FeatureStore, samples: Sequence[Sample], names: Sequence[str], progress: Progress | None
) -> Iterator[tuple[Sample, int, dict[str, str]]]:
    """The samples that are complete in any of `names`, in the order of rows, with the text that is recorded of the
    sources of each of these sets."""
    row_of = store.index.row_of()
    sample_of: list[Sample | None] = [None] * len(store.index)
    for listed in samples:
        if (row := row_of.get(listed.key)) is not None:
            sample_of[row] = listed
    complete = {name: store.status(name) == Status.COMPLETE for name in names}
    in_any = np.any([*complete.values(), np.zeros(len(store.index), dtype=bool)], axis=0)
    rows = [row for row in np.flatnonzero(in_any).tolist() if sample_of[row] is not None]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        block = rows[start : start + _ROWS_AT_ONCE]
        recorded = {name: store.records.source_texts(name, block) for name in names}
        told = {name: complete[name][block].tolist() for name in names}
        for place, row in enumerate(block):
            sample = sample_of[row]
            assert sample is not None  # as `rows` are chosen
            yield sample, row, {name: recorded[name][place] for name in names if told[name][place]}
            if progress is not None:
                progress.advance()
