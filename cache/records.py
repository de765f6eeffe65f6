"""What a store records of its rows beside their features: status, note, sources, and a digest over all of these.

    status/<set>    uint8, see `Status`; written last
    problem/<set>   text: why a row is absent or unreadable, or what is not whole about it
    source/<set>    text: the files that a row was made from, with their hashes
    digest/<set>    uint64, see `digest_of`: what is exchanged or edited is noticed, not only what is damaged

Plain Zarr arrays, with the records of many rows in a chunk: one small file for each row would cost more than the rows.
A chunk is read, changed and replaced as a whole, so one process writes at a time. Stores of schema 2 have a row a chunk
and no digests; they are read by the same code.

Whatever kills the process, a status other than MISSING speaks of features, note, sources and digest that belong
together: before any of a row's changes its status is MISSING on the disk, and its new status is written when all else
has reached it. A chunk with a digest has a chunk of statuses: one that is gone was lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt64

from ..documents import fingerprint
from ..errors import StoreError
from .chunk_files import HOW_TO_MEND, Contents, replace_files
from .chunks import Rows
from .index import Column
from .nodes import inside
from .record_arrays import RecordArray, Values
from .status import SourceFile, Status, decode_sources, encode_sources

TYPES: Mapping[str, np.dtype[Any]] = {
    "status": np.dtype("u1"),
    "problem": np.dtype(object),
    "source": np.dtype(object),
    "digest": np.dtype("<u8"),
}


@dataclass(frozen=True)
class RecordLayout:
    """How a version of the schema lays records out."""

    rows_a_chunk: int
    groups: tuple[str, ...]  # of arrays, one array a feature set in each; the status first

    @property
    def has_digests(self) -> bool:
        """Whether what is exchanged or edited can be noticed."""
        return "digest" in self.groups


_LAYOUT = RecordLayout(256, ("status", "problem", "source", "digest"))
LAYOUTS: Mapping[int, RecordLayout] = {2: RecordLayout(1, ("status", "problem", "source")), 3: _LAYOUT, 4: _LAYOUT}
"""By version of the schema."""


@dataclass(frozen=True)
class Record:
    """What is to be recorded of one row of one feature set.

    Attributes:
        checksums: of its chunks, by array; none unless it is complete.
    """

    feature_set: str
    row: int
    status: Status
    note: str = ""
    sources: Sequence[SourceFile] = ()
    checksums: Mapping[str, int] = field(default_factory=dict)


def digest_of(record: Record, *, key: str) -> int:
    """64 bits of SHA-256 over everything that belongs together in a row; never 0, which means that there is none.

    The files' times are left out: they are written anew where a file was touched and has the same bytes.
    """
    told = {
        "feature_set": record.feature_set,
        "key": key,
        "status": int(record.status),
        "note": _storable(record.note),
        "sources": [
            [_storable(file.path), file.size, file.sha256, *([dict(file.extent)] if file.extent else [])]
            for file in record.sources
        ],
        "checksums": dict(record.checksums),
    }
    return max(int(fingerprint(told)[:16], 16), 1)


def _storable(text: str) -> str:
    """A text as it is read back: lone surrogates, as in names of files that are not UTF-8, become visible escapes."""
    return text.encode(errors="backslashreplace").decode()


class Records:
    """The records of every feature set of the store at `path`, whose rows have these keys."""

    def __init__(self, path: Path, keys: Column, layout: RecordLayout) -> None:
        self._path = path
        self._keys = keys
        self.layout = layout

    def array(self, group: str, feature_set: str) -> RecordArray:
        """One array of a feature set: its statuses, notes, sources or digests."""
        return RecordArray(
            inside(self._path, f"{group}/{feature_set}"), dtype=TYPES[group], rows_a_chunk=self.layout.rows_a_chunk
        )

    def statuses(self, feature_set: str, rows: Rows) -> UInt8[np.ndarray, " row"]:
        """`Status` of `rows`; MISSING where it was never written, or is damaged."""
        return self.array("status", feature_set).read(rows, damaged_as_blank=True)

    def require_statuses(self, feature_set: str) -> None:
        """Refuse statuses that were lost, all of whose rows would be computed again: most can be proved.

        Raises:
            StoreError: if a chunk of many of them is damaged or gone.
        """
        if self.layout.rows_a_chunk > 1:
            recorded = self.array("digest", feature_set).numbers()  # before which its statuses are there
            statuses = self.array("status", feature_set)
            for number, content in zip(recorded, statuses.contents(recorded), strict=True):
                if content is None:
                    raise statuses.fault(number, "is gone")
                if statuses.decoded(content) is None:
                    raise statuses.fault(number, "is damaged")

    def notes(self, feature_set: str) -> dict[int, str]:
        """What is noted of rows, by row.

        Raises:
            StoreError: if a chunk is damaged.
        """
        array, noted = self.array("problem", feature_set), {}
        for number in array.numbers():
            for place in np.flatnonzero((texts := array.chunk(number)) != ""):
                noted[number * array.rows_a_chunk + int(place)] = str(texts[place])
        return {row: text for row, text in noted.items() if row < len(self._keys)}

    def sources(self, feature_set: str, rows: Rows) -> list[tuple[SourceFile, ...]]:
        """The files that each of `rows` was made from; none where it was not made.

        Raises:
            StoreError: if a chunk is damaged, or holds something else.
        """
        return [self.sources_told(feature_set, text) for text in self.source_texts(feature_set, rows)]

    def source_texts(self, feature_set: str, rows: Rows) -> list[str]:
        """What `encode_sources` made of the files of each of `rows`; raises StoreError if a chunk is damaged."""
        texts: list[str] = self.array("source", feature_set).read(rows).tolist()
        return texts

    def sources_told(self, feature_set: str, text: str) -> tuple[SourceFile, ...]:
        """The files in a text of `source_texts`; raises StoreError if it holds something else."""
        try:
            return decode_sources(text)
        except ValueError as error:
            path = self.array("source", feature_set).path
            raise StoreError(f"{path} does not say what rows were made from ({error}). {HOW_TO_MEND}") from None

    def digests(self, feature_set: str, rows: Rows) -> UInt64[np.ndarray, " row"]:
        """`digest_of` of `rows` as it was when they were recorded; 0 where nothing was, or its record is damaged."""
        return self.array("digest", feature_set).read(rows, damaged_as_blank=True)

    def write(self, records: Sequence[Record]) -> None:
        """Record rows, of any feature sets, each row of a set once; what is recorded as it is already costs nothing.

        Raises:
            OSError: if the disk is full or fails. Each of the rows is then as it was, as it is to be, or MISSING.
            StoreError: if a chunk that is to be changed is damaged: the other rows' records would be lost with it.
        """
        steps: tuple[dict[Path, Any], ...] = ({}, {}, {})
        for (feature_set, number), of_chunk in self._by_chunk(records).items():
            self._lay_out(feature_set, number, of_chunk, steps)
        for files in steps:
            replace_files(files)

    def any_recorded(self, feature_set: str, rows: Rows) -> bool:
        """Whether any of the rows has a status other than MISSING.

        Raises:
            StoreError: if a chunk of many of them is damaged.
        """
        alone = self.layout.rows_a_chunk == 1  # then a damaged chunk is that of a row that is written anew
        return bool(self.array("status", feature_set).read(rows, damaged_as_blank=alone).any())

    def withdraw(self, feature_set: str, rows: Rows) -> None:
        """Make rows MISSING, durably; what else is recorded of them stays until it is written anew."""
        self._blank("status", feature_set, rows)

    def forget(self, feature_set: str, rows: Rows) -> None:
        """Make rows MISSING for good: nothing vouches for their features any more."""
        self.withdraw(feature_set, rows)
        if self.layout.has_digests:
            self._blank("digest", feature_set, rows)

    def write_sources(self, feature_set: str, sources: Mapping[int, Sequence[SourceFile]]) -> None:
        """Record other times of the files of rows, whose bytes are the same."""
        array, files = self.array("source", feature_set), {}
        for number, places in _places(list(sources), array.rows_a_chunk).items():
            texts = array.chunk(number)
            for place in places:
                texts[place] = encode_sources(sources[number * array.rows_a_chunk + place])
            files[array.name_of(number)] = array.encoded(texts)
        replace_files({array.path: files})

    def replace_chunk(self, feature_set: str, number: int, values: Mapping[str, Values]) -> None:
        """Write the records of all rows of a chunk, by group, whatever was there."""
        statuses = values["status"]
        withdrawn = self._files("status", feature_set, number, np.zeros_like(statuses))
        rest: dict[Path, Any] = {}
        for group in self.layout.groups[1:]:
            rest |= self._files(group, feature_set, number, values[group])
        for files in (withdrawn, rest, self._files("status", feature_set, number, statuses)):
            replace_files(files)

    def values_of(self, record: Record) -> dict[str, Any]:
        """What stands in each array for a row, by group."""
        values: dict[str, Any] = {
            "status": record.status,
            "problem": _storable(record.note),
            "source": encode_sources(record.sources),
        }
        if self.layout.has_digests:
            values["digest"] = digest_of(record, key=str(self._keys[record.row]))
        return values

    def _files(self, group: str, feature_set: str, number: int, values: Values) -> Contents:
        array = self.array(group, feature_set)
        # A chunk of statuses stays, even if no row has one any more; another of blanks is as if it was never written.
        kept = group == "status" or (values != array.blank()).any()
        return {array.path: {array.name_of(number): array.encoded(values) if kept else None}}

    def _lay_out(
        self, feature_set: str, number: int, records: Sequence[Record], steps: tuple[dict[Path, Any], ...]
    ) -> None:
        """Add to the three steps of a write what it takes to record these rows of one chunk."""
        arrays = {group: self.array(group, feature_set) for group in self.layout.groups}
        held = {group: self._held(array, number) for group, array in arrays.items()}
        told = {group: values.copy() for group, values in held.items()}
        for record in records:
            for group, value in self.values_of(record).items():
                told[group][record.row % self.layout.rows_a_chunk] = value
        changed = np.any([held[group] != told[group] for group in held], axis=0)
        status, is_written = arrays["status"], (arrays["status"].path / arrays["status"].name_of(number)).exists()
        withdrawn = np.where(changed, np.uint8(Status.MISSING), held["status"])
        first, then, last = steps
        # A chunk with digests has one of statuses before: else one that was lost could not be told from none yet.
        if (withdrawn != held["status"]).any() or (self.layout.has_digests and changed.any() and not is_written):
            _add(first, self._files("status", feature_set, number, withdrawn))
        for group in self.layout.groups[1:]:
            if (told[group] != held[group]).any():
                _add(then, self._files(group, feature_set, number, told[group]))
        if (told["status"] != withdrawn).any() or (changed.any() and not is_written and status.path not in first):
            _add(last, self._files("status", feature_set, number, told["status"]))

    def _held(self, array: RecordArray, number: int) -> Values:
        try:
            return array.chunk(number)
        except StoreError:
            if array.rows_a_chunk > 1:
                raise
            return array.blank()  # of the row alone that is written

    def _blank(self, group: str, feature_set: str, rows: Rows) -> None:
        files: dict[Path, Any] = {}
        array = self.array(group, feature_set)
        for number, places in _places(rows, array.rows_a_chunk).items():
            values = self._held(array, number)
            if values[places].any():
                values[places] = 0
                _add(files, self._files(group, feature_set, number, values))
        replace_files(files)

    def _by_chunk(self, records: Sequence[Record]) -> dict[tuple[str, int], list[Record]]:
        grouped: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            grouped.setdefault((record.feature_set, record.row // self.layout.rows_a_chunk), []).append(record)
        return grouped


def _places(rows: Rows, rows_a_chunk: int) -> dict[int, list[int]]:
    """Where in which chunk rows are: places by the number of the chunk."""
    places: dict[int, list[int]] = {}
    for row in np.asarray(rows, dtype=np.int64).tolist():
        places.setdefault(row // rows_a_chunk, []).append(row % rows_a_chunk)
    return places


def _add(files: dict[Path, Any], more: Contents) -> None:
    for path, named in more.items():
        files.setdefault(path, {}).update(named)
