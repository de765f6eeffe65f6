"""Chunk files of one array in a local store: one file a row, little-endian bytes followed by their crc32c.

This is the hot path, beside Zarr's own: reading uncompressed chunk files directly is several times faster than any
array indexing, and writing them directly lets every byte be synced before the row is declared complete. What is read
and written here is what Zarr's `bytes` and `crc32c` codecs specify, so any Zarr v3 reader opens the store.
"""

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError

_CHECKSUM_BYTES = 4
_READ_THREADS = 8


def chunk_path(array_path: Path, row: int, *, num_axes: int) -> Path:
    """File of one row's chunk: Zarr's default key encoding with `.` between coordinates, so that folders stay flat."""
    return array_path / ".".join(["c", str(row), *["0"] * (num_axes - 1)])


def write_chunk(path: Path, values: NDArray[np.generic]) -> None:
    """Write one row's values with their checksum and sync the file; a crash leaves the old file or the new one.

    The temporary name is fixed, so that repeating an interrupted write replaces what the interruption left behind.
    The rename is durable once the folder is synced, which the caller does once for many rows.
    """
    data = values.tobytes()
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("wb") as handle:
        handle.write(data)
        handle.write(struct.pack("<I", google_crc32c.value(data)))
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


def read_rows(
    array_path: Path,
    rows: Sequence[int] | NDArray[np.int64],
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    take: Sequence[int] | None = None,
) -> NDArray[np.generic]:
    """Read `rows`, each of `shape`, into one array; `take` keeps only these entries of the first axis of a row.

    Raises:
        StoreError: if a chunk is missing, has the wrong length, or fails its checksum.
    """
    kept = shape if take is None else (len(take), *shape[1:])
    result = np.empty((len(rows), *kept), dtype=dtype)

    def read_into(position: int) -> None:
        row = int(rows[position])
        path = chunk_path(array_path, row, num_axes=len(shape) + 1)
        values = np.frombuffer(_checked_bytes(path, row), dtype=dtype).reshape(shape)
        result[position] = values if take is None else values[list(take)]

    with ThreadPoolExecutor(max_workers=_READ_THREADS) as pool:
        for _ in pool.map(read_into, range(len(rows))):
            pass
    return result


def read_bytes_or_zeros(array_path: Path, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read one uint8 a row; a row that was never written, or whose byte is damaged, reads as zero."""
    result = np.zeros(len(rows), dtype=np.uint8)
    for position, row in enumerate(rows):
        try:
            data = (array_path / f"c.{row}").read_bytes()
        except FileNotFoundError:
            continue
        if len(data) == 1 + _CHECKSUM_BYTES and struct.pack("<I", google_crc32c.value(data[:1])) == data[1:]:
            result[position] = data[0]
    return result


def _checked_bytes(path: Path, row: int) -> memoryview:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise StoreError(
            f"{path.parent.name}: row {row} is marked complete and its chunk {path} is gone. Delete its status file "
            "and run `weldcache extract` again."
        ) from None
    body, checksum = data[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if len(data) < _CHECKSUM_BYTES or struct.pack("<I", google_crc32c.value(body)) != checksum:
        raise StoreError(
            f"{path.parent.name}: the checksum of row {row} does not match: {path} is damaged. Delete it and its "
            "status file, and run `weldcache extract` again."
        )
    return memoryview(body)
