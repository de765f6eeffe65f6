"""Chunks of one array in a local store: one file a row, its little-endian bytes followed by their crc32c.

This is the hot path, beside Zarr's own: a row's bytes go from the file straight to their place in the result and are
checked there, and they are written from where they lie. What is read and written here is what Zarr's `bytes` and
`crc32c` codecs specify, so any Zarr v3 reader opens the store, and what Zarr wrote is read here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import google_crc32c
import numpy as np
from jaxtyping import UInt8, UInt32
from numpy.typing import NDArray

from ..errors import StoreError
from .chunk_files import (
    CHECKSUM,
    HOW_TO_MEND,
    for_each,
    num_readers,
    opened_folder,
    read_files,
    read_into,
    replace_files,
)

Rows: TypeAlias = Sequence[int] | NDArray[np.int64]


@runtime_checkable
class RowChunks(Protocol):
    """The chunks of one array of features, a row each, wherever they lie."""

    def read(self, rows: Rows, *, out: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
        """Read `rows`, all of them complete, in this order into `out` (whole and C-contiguous) or a new array; return
        it. After an error `out` holds a mixture.

        Raises:
            StoreError: if a chunk is missing, has the wrong length, or fails its checksum.
        """

    def checksums(self, rows: Rows) -> list[int | None]:
        """The checksum that stands at the end of each row's chunk, whatever the chunk holds; None where there is
        none."""

    def name_of(self, row: int) -> str:
        """What in the store holds the chunk: the name of a file or an object."""

    def size_of(self, row: int) -> int:
        """Bytes of the chunk as it is, its checksum included; raises OSError where it cannot be had."""


@dataclass(frozen=True)
class FolderChunks:
    """The chunks of the array in the folder `path`, which is part of a store at `root`; see `RowChunks`."""

    root: Path
    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def read(self, rows: Rows, *, out: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
        return read_rows(self.path, rows, shape=self.shape, dtype=self.dtype, out=out)

    def checksums(self, rows: Rows) -> list[int | None]:
        return read_checksums(self.path, rows, num_axes=len(self.shape) + 1)

    def name_of(self, row: int) -> str:
        return self._file(row).relative_to(self.root).as_posix()

    def size_of(self, row: int) -> int:
        return self._file(row).stat().st_size

    def _file(self, row: int) -> Path:
        return chunk_path(self.path, row, num_axes=len(self.shape) + 1)


def chunk_path(array_path: Path, row: int, *, num_axes: int) -> Path:
    """File of one row's chunk: Zarr's default key encoding with `.` between coordinates, so that folders stay flat."""
    return array_path / _chunk_name(row, num_axes=num_axes)


def read_rows(
    array_path: Path,
    rows: Rows,
    *,
    shape: tuple[int, ...],
    dtype: np.dtype[np.generic],
    out: NDArray[np.generic] | None = None,
    check: bool = True,
) -> NDArray[np.generic]:
    """Read `rows` in this order, each of `shape`, into `out` (whole and C-contiguous) or a new array; return it.

    Without `check` the checksums are not computed, for a caller who has verified the store; lengths always are. After
    an error `out` holds a mixture.

    Raises:
        StoreError: if a chunk is missing, has the wrong length, or fails its checksum.
    """
    result = np.empty((len(rows), *shape), dtype=dtype) if out is None else out
    assert result.shape == (len(rows), *shape), f"{result.shape} is not {len(rows)} rows of {shape}"
    assert result.dtype == dtype, f"{result.dtype} is not {dtype}"
    names, targets = _chunk_names(rows, num_axes=result.ndim), bytes_of_rows(result)

    def read(position: int) -> None:
        name, target = names[position], targets[position]
        try:
            checksum = read_into(folder, name, target)
        except FileNotFoundError:
            raise _missing(array_path, name) from None
        if checksum is None:
            raise _damaged(array_path, name, "has the wrong length")
        if check and google_crc32c.value(target) != checksum:
            raise _damaged(array_path, name, "does not match its checksum")

    try:
        with opened_folder(array_path) as folder:
            for_each(range(len(names)), read, num_threads=num_readers(len(names), num_bytes=result.nbytes))
    except FileNotFoundError:
        raise StoreError(f"The array {array_path} is gone. Make the store anew with `weldcache extract`.") from None
    return result


def write_rows(array_path: Path, rows: Rows, values: NDArray[np.generic]) -> UInt32[np.ndarray, " row"]:
    """As `write_arrays`, of one array."""
    return write_arrays({array_path: values}, rows)[array_path]


def write_arrays(arrays: Mapping[Path, NDArray[np.generic]], rows: Rows) -> dict[Path, UInt32[np.ndarray, " row"]]:
    """Write `values[i]` of each array, C-contiguous and in the storage type, as the chunk of `rows[i]`; no row stands
    there twice. Return the chunks' checksums.

    On return every byte and every name has reached the disk.

    Raises:
        OSError: if the disk is full or fails. Each of the chunks is then the old one or the new one.
    """
    names = {path: _chunk_names(rows, num_axes=values.ndim) for path, values in arrays.items()}
    contents = {path: dict(zip(names[path], bytes_of_rows(arrays[path]), strict=True)) for path in arrays}
    assert all(len(files) == len(rows) for files in contents.values()), "a row stands twice in one write"
    checksums = replace_files(contents)
    return {
        path: np.array([checksums[path, name] for name in of_array], dtype=np.uint32)
        for path, of_array in names.items()
    }


def read_checksums(array_path: Path, rows: Rows, *, num_axes: int) -> list[int | None]:
    """The checksum that stands at the end of each row's chunk, whatever the chunk holds; None where there is none."""
    names = _chunk_names(rows, num_axes=num_axes)
    ends = read_files(array_path, names, last_bytes=CHECKSUM.size)
    return [CHECKSUM.unpack(end)[0] if end and len(end) == CHECKSUM.size else None for end in ends]


def _chunk_name(row: int, *, num_axes: int) -> str:
    return f"c.{row}" + ".0" * (num_axes - 1)


def _chunk_names(rows: Rows, *, num_axes: int) -> list[str]:
    return [_chunk_name(row, num_axes=num_axes) for row in np.asarray(rows, dtype=np.int64).tolist()]


def bytes_of_rows(values: NDArray[np.generic]) -> UInt8[np.ndarray, "row byte"]:
    """The same memory as the bytes of each row."""
    assert values.flags.c_contiguous
    num_bytes = values.dtype.itemsize * int(np.prod(values.shape[1:], dtype=np.int64))
    assert num_bytes, f"rows of shape {values.shape[1:]} hold nothing"
    return values.reshape(-1).view(np.uint8).reshape(len(values), num_bytes)


def _missing(array_path: Path, name: str) -> StoreError:
    return StoreError(
        f"{array_path.name}: row {name.split('.')[1]} is marked complete and its chunk {array_path / name} is gone. "
        f"{HOW_TO_MEND}"
    )


def _damaged(array_path: Path, name: str, fault: str) -> StoreError:
    return StoreError(
        f"{array_path.name}: the chunk of row {name.split('.')[1]} {fault}: {array_path / name} is damaged. "
        f"{HOW_TO_MEND}"
    )
