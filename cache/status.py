"""What is known of a row's features: whether they exist, and the files that they were made from.

A status is written last, so that it is true after any crash. Of a file, enough is kept to notice quickly, and to prove,
that it has changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path, PurePosixPath

import numpy as np

from ..documents import open_regular, parse_json

_NUMBERS = "numbers://"  # begins no path below a data set's root: such a path never has two slashes in a row


class Status(IntEnum):
    """State of one row in one feature set. Only rows that are COMPLETE are ever read."""

    MISSING = 0  # never extracted, or interrupted
    COMPLETE = 1
    ABSENT = 2  # the data set has no file for it
    UNREADABLE = 3  # the file is there and cannot be decoded


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when a row was made from it, or numbers that the data set itself gave of the row.

    Size and time of a file are looked at on every run; the hash decides where one of them differs.
    """

    path: str  # with forward slashes, relative to the data set's root; of numbers `numbers://` and their stream
    size: int  # bytes
    mtime_ns: int  # 0 of numbers
    sha256: str

    @property
    def is_numbers(self) -> bool:
        """Whether this is no file."""
        return self.path.startswith(_NUMBERS)

    @property
    def name(self) -> str:
        """What a message calls it: the file's path, or the numbers' stream."""
        return self.path.removeprefix(_NUMBERS)

    def below(self, root: Path) -> Path | None:
        """Where it lies in a folder of the data set; None of numbers, and of a path that leads out of any folder, as
        one in a stranger's store may."""
        return None if self.is_numbers or not stays_below(self.path) else root / self.path

    def same_content(self, other: "SourceFile") -> bool:
        """Whether both are one file with the same bytes."""
        return (self.path, self.size, self.sha256) == (other.path, other.size, other.sha256)


def stays_below(path: str) -> bool:
    """Whether a path that a store records, relative to a folder, leads to what lies below that folder."""
    pure = PurePosixPath(path)
    return "\0" not in path and not pure.is_absolute() and ".." not in pure.parts


def source_file(path: Path, *, root: Path) -> SourceFile:
    """Describe the file at `path`; raises OSError where it cannot be read, or is a pipe, a device or a folder."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        stat = os.fstat(file.fileno())
    return SourceFile(path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns, digest)


def source_numbers(stream: str, numbers: Sequence[float]) -> SourceFile:
    """Describe the numbers that a data set gives as `stream` of one sample, whatever file they stand in: other columns
    of a table may be corrected, and these are the same."""
    told = np.asarray(numbers, dtype="<f8").tobytes()
    return SourceFile(f"{_NUMBERS}{stream}", len(told), 0, hashlib.sha256(told).hexdigest())


def encode_sources(files: Iterable[SourceFile]) -> str:
    """Files as the text that a store keeps of a row; an empty text for no file."""
    listed = [astuple(file) for file in files]
    return json.dumps(listed, separators=(",", ":")) if listed else ""


def decode_sources(text: str) -> tuple[SourceFile, ...]:
    """The files in the text that `encode_sources` made.

    Raises:
        ValueError: if the text is not that.
    """
    listed = parse_json(text) if text else []
    if not isinstance(listed, list) or not all(_is_encoded(fields) for fields in listed):
        raise ValueError("it is no list of files")
    return tuple(SourceFile(*fields) for fields in listed)


def _is_encoded(fields: object) -> bool:
    return isinstance(fields, list) and [type(field) for field in fields] == [str, int, int, str]
