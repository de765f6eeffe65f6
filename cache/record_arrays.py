"""Arrays with a small value a row and many rows a chunk: a chunk is read, changed and replaced as a whole.

A chunk file is what Zarr's `bytes`, `vlen-utf8` and `crc32c` codecs specify. One that was never written, and one that
was damaged, never look alike here.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from .chunk_files import CHECKSUM, HOW_TO_MEND, checksum, read_files
from .chunks import Rows

Values = NDArray[Any]  # one a row: numbers, or texts as objects

_LENGTH = struct.Struct("<I")


def texts_in(content: bytes, *, most: int) -> list[bytes]:
    """The first `most` texts of a chunk as Zarr's `vlen-utf8` codes them, up to one that is not whole."""
    texts: list[bytes] = []
    end, length_at = _LENGTH.size, _LENGTH.unpack_from
    for _ in range(most):
        start = end + _LENGTH.size
        if start > len(content):
            break
        end = start + length_at(content, end)[0]
        if end > len(content):
            break
        texts.append(content[start:end])
    return texts


class RecordArray:
    """One of the arrays, chunk by chunk. A chunk that was never written is one of zeros, or of empty texts."""

    def __init__(self, path: Path, *, dtype: np.dtype[Any], rows_a_chunk: int) -> None:
        self.path = path
        self.dtype = dtype
        self.rows_a_chunk = rows_a_chunk
        self._is_text = dtype.kind == "O"

    def name_of(self, number: int) -> str:
        """File name of a chunk."""
        return f"c.{number}"

    def numbers(self) -> list[int]:
        """Numbers of the chunks that are on the disk."""
        names = (path.name.removeprefix("c.") for path in self.path.glob("c.*"))
        return sorted(int(name) for name in names if name.isdecimal())

    def blank(self) -> Values:
        """The values of a chunk that was never written."""
        return np.full(self.rows_a_chunk, "" if self._is_text else 0, dtype=self.dtype)

    def contents(self, numbers: Sequence[int]) -> list[bytes | None]:
        """The files of these chunks as they are; None where there is none."""
        return read_files(self.path, [self.name_of(number) for number in numbers])

    def decoded(self, content: bytes | None) -> Values | None:
        """The values in a chunk's file, None if it is damaged."""
        if content is None:
            return self.blank()
        values = self.salvaged(content)
        encoded = self.encoded(values)
        return values if content == encoded.tobytes() + checksum(encoded) else None

    def chunk(self, number: int) -> Values:
        """Values of one chunk.

        Raises:
            StoreError: if it is damaged.
        """
        values = self.decoded(*self.contents([number]))
        if values is None:
            raise self.fault(number, "is damaged")
        return values

    def read(self, rows: Rows, *, damaged_as_blank: bool = False) -> Values:
        """The values of `rows`.

        Raises:
            StoreError: if a chunk is damaged and is not to be read as one that was never written.
        """
        numbers, place = np.unique(np.asarray(rows, dtype=np.int64) // self.rows_a_chunk, return_inverse=True)
        read: list[Values] = []
        for number, content in zip(numbers.tolist(), self.contents(numbers.tolist()), strict=True):
            values = self.decoded(content)
            if values is None and not damaged_as_blank:
                raise self.fault(number, "is damaged")
            read.append(self.blank() if values is None else values)
        if not read:
            return self.blank()[:0]
        chosen: Values = np.concatenate(read)[place * self.rows_a_chunk + np.asarray(rows) % self.rows_a_chunk]
        return chosen

    def encoded(self, values: Values) -> NDArray[np.uint8]:
        """The content of a chunk file, less its checksum: what Zarr's `bytes` and `vlen-utf8` codecs make of it."""
        if not self._is_text:
            return np.ascontiguousarray(values, dtype=self.dtype).view(np.uint8)
        parts = [_LENGTH.pack(len(values))]
        for text in values:
            data = text.encode(errors="backslashreplace")
            parts += (_LENGTH.pack(len(data)), data)
        return np.frombuffer(b"".join(parts), dtype=np.uint8)

    def salvaged(self, content: bytes) -> Values:
        """What a chunk file says, as far as it can be understood, whatever its checksum says; blank behind that."""
        values, body = self.blank(), content[: -CHECKSUM.size]
        if not self._is_text:
            whole = np.frombuffer(body[: len(body) // self.dtype.itemsize * self.dtype.itemsize], dtype=self.dtype)
            values[: len(whole)] = whole[: len(values)]
            return values
        texts = texts_in(body, most=len(values))
        values[: len(texts)] = [text.decode(errors="replace") for text in texts]
        return values

    def fault(self, number: int, what: str) -> StoreError:
        """The error about a chunk, with its rows and its file; `what` is such as `is damaged`."""
        first, last = number * self.rows_a_chunk, (number + 1) * self.rows_a_chunk - 1
        rows = f"rows {first} to {last}" if last > first else f"row {first}"
        return StoreError(f"What is recorded of {rows} {what}: {self.path / self.name_of(number)}. {HOW_TO_MEND}")
