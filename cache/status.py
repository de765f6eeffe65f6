"""What is known of a row's features: whether they exist, and the files that they were made from.

A status is written last, so that it is true after any crash. Of a file, enough is kept to notice quickly, and to prove,
that it has changed.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path, PurePosixPath

from ..documents import open_regular, parse_json

_MOST_EXTENT = 1e15  # of a file, in any unit; a store may come from anybody
_NUMBERS = "numbers://"  # begins no path below a data set's root: such a path never has two slashes in a row
_ENCODER = json.JSONEncoder(separators=(",", ":"))  # one for all: `json.dumps` would make one for each row


class Status(IntEnum):
    """State of one row in one feature set. Only rows that are COMPLETE are ever read."""

    MISSING = 0  # never extracted, or interrupted
    COMPLETE = 1
    ABSENT = 2  # the data set has no file for it
    UNREADABLE = 3  # the file is there and cannot be decoded


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when a row was made from it, or numbers that the data set itself gave of the row.

    Size and time of a file are looked at on every run; the hash decides where one of them differs. `extent` is how
    much there is in it, as decoding told, by name: `width` and `height` in pixels, `frames`, `seconds`; empty where
    that was not told, as in rows that former versions made.
    """

    path: str  # with forward slashes, relative to the data set's root; of numbers `numbers://` and their stream
    size: int  # bytes
    mtime_ns: int  # 0 of numbers
    sha256: str
    extent: Mapping[str, float] = field(default_factory=dict, hash=False)

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
    told = struct.pack(f"<{len(numbers)}d", *numbers)
    return SourceFile(f"{_NUMBERS}{stream}", len(told), 0, hashlib.sha256(told).hexdigest())


def encoded_numbers(stream: str, numbers: Sequence[float]) -> str:
    """What `encode_sources` makes of `source_numbers` alone, in a third of the time."""
    told = struct.pack(f"<{len(numbers)}d", *numbers)
    return f'[["{_NUMBERS}{stream}",{len(told)},0,"{hashlib.sha256(told).hexdigest()}"]]'


def encode_sources(files: Iterable[SourceFile]) -> str:
    """Files as the text that a store keeps of a row; an empty text for no file."""
    listed = [
        [file.path, file.size, file.mtime_ns, file.sha256, *([dict(file.extent)] if file.extent else [])]
        for file in files
    ]
    return _ENCODER.encode(listed) if listed else ""


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
    if not isinstance(fields, list) or [type(each) for each in fields[:4]] != [str, int, int, str]:
        return False
    further = fields[4:]  # rows that former versions made, and files of which nothing was told, have none
    return not further or (len(further) == 1 and _is_extent(further[0]))


def _is_extent(told: object) -> bool:
    return isinstance(told, dict) and all(
        isinstance(name, str) and name.isidentifier() and isinstance(value, float) and 0 <= value < _MOST_EXTENT
        for name, value in told.items()
    )
