"""Findings about the rows of one feature set, and what lies in its folders of chunks."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from ...findings import Severity
from ...wording import count_of
from ..chunks import RowChunks
from ..nodes import inside
from ..record_arrays import Values
from ..status import Status
from ..store import FeatureStore
from .outcome import Mend, StoreFinding

_CHUNK = re.compile(r"c\.(0|[1-9]\d*)((?:\.0)*)")
_KEYS_NAMED = 3  # in a finding about many rows

_REMEDY_OF_TEMPORARY = "Nothing needs to be done: nobody reads these; `weldcache verify --mend` removes them."
_REMEDY_OF_UNKNOWN = "Remove it, if it is nothing of yours: nobody reads it."
_REMEDY_OF_BEYOND = "Nobody reads them. `weldcache extract` with the data set that has these rows gives them an owner."


class SetFindings:
    """Gathers the findings about `feature_set` of `store`.

    Attributes:
        found: the findings so far.
        num_files: chunk files that were looked at.
        num_bytes: of features that were read.
        damaged_chunks: of records, by number, with the statuses of their rows as far as they can be proved.
    """

    def __init__(self, store: FeatureStore, feature_set: str) -> None:
        self.store = store
        self.feature_set = feature_set
        self.found: list[StoreFinding] = []
        self.num_files = 0
        self.num_bytes = 0
        self.damaged_chunks: dict[int, Values] = {}

    def folder(self, group: str) -> Path:
        """Folder of one of the set's arrays of records, such as its statuses."""
        return inside(self.store.folder, f"{group}/{self.feature_set}")

    def array_folder(self, name: str) -> Path:
        """Folder of one of the set's arrays."""
        return inside(self.store.folder, f"features/{self.feature_set}/{name}")

    def chunks(self, name: str) -> RowChunks:
        """The chunks of one of the set's arrays."""
        return self.store.chunks(f"{self.feature_set}/{name}")

    def tell(self, check: str, severity: Severity, evidence: str, remedy: str, *, array: str = "") -> None:
        """Add a finding about an array, or about the set as a whole."""
        part = f"{self.feature_set}/{array}" if array else self.feature_set
        self.found.append(StoreFinding(check, severity, evidence, remedy, part=part))

    def tell_row(
        self,
        check: str,
        severity: Severity,
        evidence: str,
        remedy: str,
        *,
        row: int,
        array: str = "",
        file: str = "",
        mend: Mend = "forget",
    ) -> None:
        """Add a finding about a row; computing it again helps unless `mend` says otherwise."""
        self.found.append(
            StoreFinding(
                check,
                severity,
                evidence,
                remedy,
                key=str(self.store.index.keys[row]),
                part=f"{self.feature_set}/{array}" if array else self.feature_set,
                file=file,
                mend=mend,
                feature_set=self.feature_set,
                row=row,
            )
        )

    def tell_chunk(self, evidence: str, remedy: str, *, number: int, file: Path, proved: Values) -> None:
        """Add a finding about a damaged or lost chunk of records; `proved` holds the statuses that are known still."""
        self.damaged_chunks[number] = proved
        rows_a_chunk = self.store.records.layout.rows_a_chunk
        row = number * rows_a_chunk
        self.found.append(
            StoreFinding(
                "checksums",
                "error",
                evidence,
                remedy,
                key=str(self.store.index.keys[row]) if rows_a_chunk == 1 else "",
                part=self.feature_set,
                file=file.relative_to(self.store.folder).as_posix(),
                mend="salvage",
                feature_set=self.feature_set,
                row=row,
            )
        )

    def rows_to_judge(self) -> Int64[np.ndarray, " row"]:
        """All rows but those in damaged chunks of records."""
        rows = np.arange(len(self.store.index))
        return rows[~np.isin(rows // self.store.records.layout.rows_a_chunk, list(self.damaged_chunks))]

    def rows_with_errors(self) -> list[int]:
        """Rows of which an error was found so far."""
        return [finding.row for finding in self.found if finding.row is not None and finding.severity == "error"]

    def statuses(self) -> UInt8[np.ndarray, " row"]:
        """Status of every row; in damaged chunks, as far as it can be proved."""
        status = self.store.status(self.feature_set)
        rows_a_chunk = self.store.records.layout.rows_a_chunk
        for number, proved in self.damaged_chunks.items():
            of_chunk = status[number * rows_a_chunk : (number + 1) * rows_a_chunk]
            of_chunk[:] = proved[: len(of_chunk)]
        return status

    def still_complete(self, row: int) -> bool:
        """Whether a row is COMPLETE at this moment, as far as its record can be read."""
        if row // self.store.records.layout.rows_a_chunk in self.damaged_chunks:
            return True
        return bool(self.store.records.statuses(self.feature_set, [row])[0] == Status.COMPLETE)

    def keys(self, rows: Int64[np.ndarray, " row"]) -> str:
        """The first few of these rows by name."""
        named = self.store.index.keys[rows[:_KEYS_NAMED]].tolist()
        return ", ".join([*named, "..."] if len(rows) > _KEYS_NAMED else named)

    def record_chunks(self, group: str) -> list[int]:
        """Numbers of the chunks that an array of records has; tells of what else lies in its folder."""
        present = self.chunks_in(self.folder(group), num_axes=1, rows_a_chunk=self.store.records.layout.rows_a_chunk)
        self.num_files += int(present.sum())
        return [int(number) for number in np.flatnonzero(present)]

    def chunks_in(self, folder: Path, *, num_axes: int, rows_a_chunk: int = 1) -> Bool[np.ndarray, " chunk"]:
        """Which chunks are in `folder`; tells of other files, and of chunks that no row owns."""
        present = np.zeros(-(-len(self.store.index) // rows_a_chunk), dtype=bool)
        num_temporary, largest_beyond, unknown = 0, -1, []
        for name in _file_names(folder):
            number = _number_of(name, num_axes=num_axes)
            if is_unfinished(name):
                num_temporary += 1
            elif number is None:
                unknown.append(name)
            elif number < len(present):
                present[number] = True
            else:
                largest_beyond = max(number * rows_a_chunk, largest_beyond)
        where = folder.relative_to(self.store.folder).as_posix()
        if num_temporary:
            evidence = f"{count_of(num_temporary, 'temporary file')}, of an interruption or of a writer at work"
            self._tell_folder("note", evidence, _REMEDY_OF_TEMPORARY, where=where)
        if unknown:
            told = count_of(len(unknown), "file that is no chunk", "files that are no chunks")
            evidence = f"{told}, such as {unknown[0]}"
            self._tell_folder("note", evidence, _REMEDY_OF_UNKNOWN, where=where)
        # Rows may have been added since the store was opened.
        num_rows = len(self.store.index)
        if largest_beyond >= num_rows and largest_beyond >= len(FeatureStore.open(self.store.path).index):
            evidence = f"chunks of rows up to {largest_beyond:,}, where the store has {num_rows:,}"
            self._tell_folder("warning", evidence, _REMEDY_OF_BEYOND, where=where)
        return present

    def _tell_folder(self, severity: Severity, evidence: str, remedy: str, *, where: str) -> None:
        mend: Mend = "sweep" if remedy == _REMEDY_OF_TEMPORARY else ""
        self.found.append(
            StoreFinding("status", severity, evidence, remedy, part=self.feature_set, file=where, mend=mend)
        )


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is one that a writer renames when it is whole; ours start with a dot."""
    return name.startswith(".") or name.endswith(".partial")


def _file_names(folder: Path) -> Iterator[str]:
    """Names of the files in a folder, one at a time; none where there is no folder."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        yield from (entry.name for entry in entries if entry.name != "zarr.json")


def _number_of(name: str, *, num_axes: int) -> int | None:
    match = _CHUNK.fullmatch(name)
    return int(match[1]) if match and len(match[2]) == 2 * (num_axes - 1) else None
