"""JSON that something says of itself, read as if a stranger had written it, and sealed so that an edit is noticed.

Reading is bounded before it begins: a regular file of a sane size, of sane depth, with no key twice and no NaN. What
the values mean is for the reader's own types to check.
"""

import errno
import hashlib
import json
import math
import os
import stat
from collections.abc import Mapping, Sequence
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from .atomic import write_json
from .wording import brief, first_of

# A value that JSON can hold. Not recursive: run-time type checkers cannot follow an alias into itself.
Json = None | bool | int | float | str | Sequence[Any] | Mapping[str, Any]

MOST_BYTES = 256 << 20  # of one document; the largest honest one lists a store's keys
_MOST_LEVELS = 64
_FAULTS_TOLD = 3
_STARTS = {
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"PK\x03\x04": "a zip archive, as spreadsheets are",
    b"\x1f\x8b": "packed with gzip",
    b"BZh91AY": "packed with bzip2",
    b"\xfd7zXZ": "packed with xz",
    b"7z\xbc\xaf": "a 7z archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file",
}
SEAL = "checksum"  # the entry of a document that seals it


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: if it is not JSON (NaN and infinity are not, however they are written), is nested too deep, or has
            a key twice.
    """
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    # Most texts are short ones of a row, of which a million are read: these cannot be as deep as they are not long.
    if text.count("[") + text.count("{") > _MOST_LEVELS:
        _check_depth(value)
    return value


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file to read its bytes; a pipe, a device or a folder is refused without waiting for it.

    Raises:
        OSError: if it is not there, not regular, or cannot be read.
    """
    # Opening a pipe to read waits for somebody who writes, unless it is opened without blocking.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular_file(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a regular file.

    Raises:
        OSError: as `open_regular`.
        ValueError: if it has more than `most_bytes`.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        # A read of so many bytes at most would ask for the memory of so many at once.
        content = file.read() if size <= most_bytes else b""
    if max(size, len(content)) > most_bytes:
        raise ValueError(f"it has more than {most_bytes:,} bytes")
    return content


def decoded(content: bytes, *, encoding: str = "utf-8") -> str:
    """The text of a file in UTF-8; `utf-8-sig` takes a mark at its beginning for none of it.

    Raises:
        ValueError: if it is not UTF-8; the message begins with the line.
    """
    if kind := foreign_kind(content):
        raise ValueError(f"line 1: the file is {kind}; save it as text in UTF-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        before, byte = error.object[: error.start], error.object[error.start]  # without a mark at the beginning
        line = len((before + b"-").splitlines())
        raise ValueError(f"line {line}: the byte 0x{byte:02x} is not UTF-8; save the file as UTF-8") from None


def foreign_kind(content: bytes) -> str | None:
    """What a file is that should be text in UTF-8 and begins as something else does; None where it does not."""
    for start, kind in _STARTS.items():
        if content.startswith(start):
            return kind
    # Of Latin letters in UTF-16, every other byte is zero.
    even, odd = content[:64:2], content[1:64:2]
    halves = ((even, odd), (odd, even))
    return "text in UTF-16" if any(0 not in one and 2 * other.count(0) > len(other) for one, other in halves) else None


def read_document(path: Path, *, most_bytes: int = MOST_BYTES) -> Any:
    """The value of a JSON file.

    Raises:
        OSError: as `read_regular_file`.
        ValueError: as `parse_json`, and if it is not UTF-8 or too large.
    """
    return parse_json(read_regular_file(path, most_bytes=most_bytes).decode())


def fault_told(fault: ErrorDetails, *, where: str) -> str:
    """What is wrong with a value that was checked against its type, and what it is if that is short."""
    what = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] in ("tuple_type", "list_type"):  # a library's array is a list to people
        what = "Input should be a list in square brackets, such as [a, b]"
    got = "" if isinstance(fault["input"], dict | BaseModel) else f", got {brief(fault['input'])}"
    return f"{where}: {what}{got}" if where else f"{what}{got}"


def faults_told(error: ValidationError) -> str:
    """Where a document is not what it should be and how, for the first few places."""
    lines = [
        fault_told(fault, where=".".join(str(part)[:100] for part in fault["loc"]))
        for fault in error.errors(include_url=False)
    ]
    return "; ".join(first_of(lines, most=_FAULTS_TOLD))


def fingerprint(value: Json) -> str:
    """SHA-256 over canonical JSON: the same for equal values whatever the order of their keys."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def sealed(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a checksum over everything else in it, as its last entry."""
    whole = {name: value for name, value in document.items() if name != SEAL}
    return {**whole, SEAL: fingerprint(whole)}


def is_sealed(document: Mapping[str, Any]) -> bool:
    """Whether a document has a checksum at all; `seal_holds` says whether it is the right one."""
    return SEAL in document


def seal_holds(document: Mapping[str, Any]) -> bool:
    """Whether a document says what it said when it was sealed."""
    return is_sealed(document) and document[SEAL] == sealed(document)[SEAL]


def write_sealed(path: Path, document: Mapping[str, Any]) -> None:
    """Replace `path` by the document and its checksum, as indented JSON."""
    write_json(path, sealed(document))


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        _refuse_constant(digits[:20])
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has the key {twice!r} twice")
    return found


# One for all: a call of `json.loads` with hooks makes its own, which takes as long as a short text.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_object)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_MOST_LEVELS):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return
    raise ValueError(f"it is nested more than {_MOST_LEVELS} levels deep")
