"""What is known of a row's features: whether they exist, and the files that they were made from.

A status is written last, so that it is true after any crash. Of a file, enough is kept to notice quickly, and to prove,
that it has changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from enum import IntEnum
from pathlib import Path

from ..documents import open_regular, parse_json


class Status(IntEnum):
    """State of one row in one modality. Only rows that are COMPLETE are ever read."""

    MISSING = 0  # never extracted, or interrupted
    COMPLETE = 1
    ABSENT = 2  # the data set has no file for it
    UNREADABLE = 3  # the file is there and cannot be decoded


@dataclass(frozen=True)
class SourceFile:
    """A file as it was when a row was made from it.

    Size and time are looked at on every run; the hash decides where one of them differs.
    """

    path: str  # with forward slashes, relative to the data set's root
    size: int  # bytes
    mtime_ns: int
    sha256: str

    def same_content(self, other: "SourceFile") -> bool:
        """Whether both are one file with the same bytes."""
        return (self.path, self.size, self.sha256) == (other.path, other.size, other.sha256)


def source_file(path: Path, *, root: Path) -> SourceFile:
    """Describe the file at `path`; raises OSError where it cannot be read, or is a pipe, a device or a folder."""
    with open_regular(path) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        stat = os.fstat(file.fileno())
    return SourceFile(path.relative_to(root).as_posix(), stat.st_size, stat.st_mtime_ns, digest)


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
