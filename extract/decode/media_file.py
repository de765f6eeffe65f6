"""A file before it is decoded: refused in the same words, whatever is recorded in it, where it cannot be read."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...documents import MOST_BYTES, open_regular, read_regular_file
from ...errors import DecodeError


def require_readable(path: Path, *, what: str) -> None:
    """Refuse a file that a library is to open by its name: at a pipe it would wait for ever.

    Raises:
        DecodeError: if the file is missing, not a regular file, empty, or may not be read.
    """
    with refusals_told(path, what=what), open_regular(path) as file:
        content = file.read(1)
    _require_content(path, content, what=what)


def read_content(path: Path, *, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a file.

    Raises:
        DecodeError: as `require_readable`, and if there are more than `most_bytes`.
    """
    with refusals_told(path, what=what):
        content = read_regular_file(path, most_bytes=most_bytes)
    _require_content(path, content, what=what)
    return content


@contextmanager
def refusals_told(path: Path, *, what: str) -> Iterator[None]:
    """What opening or reading refuses, as a DecodeError; memory that ran out, as a MemoryError."""
    try:
        yield
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: the {what} is not there.") from error
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(str(error)) from error  # which says nothing about the file
        raise DecodeError(f"{path}: the {what} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DecodeError(f"{path}: the {what} cannot be read ({error}).") from error


def _require_content(path: Path, content: bytes, *, what: str) -> None:
    if not content:
        raise DecodeError(f"{path}: the {what} is empty.")
