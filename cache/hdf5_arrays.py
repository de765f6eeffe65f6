"""Arrays of a store and datasets of an HDF5 file, copied either way in blocks of rows, with a tally of what goes by."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError, disk_errors
from ..progress import ByteProgress
from .chunk_files import replace_files
from .chunks import read_rows, write_rows
from .layout import open_array, read_whole
from .record_arrays import RecordArray, Values

_BLOCK_BYTES = 32 << 20  # of rows that are in memory together
_BLOCK_ROWS = 1024
_BLOCK_CHUNKS = 32  # of records that are written together
NOTHING_KEPT = "Nothing was left there"
_COLUMN_CHUNK = 4096  # values in a chunk of what is copied whole


class Tally:
    """What has gone by: its digest, and how much of it, for the bar; `check` raises what the disk refused of it."""

    def __init__(self, progress: ByteProgress, *, check: Callable[[], None] = lambda: None) -> None:
        self._digest = hashlib.sha256()
        self._progress = progress
        self._check = check

    def add_text(self, text: str) -> None:
        """Count a text in; the zero keeps two texts apart."""
        self._check()
        self._digest.update(text.encode() + b"\0")

    def add_values(self, values: Values) -> None:
        """Count the bytes of `values` in, however they are cut into blocks."""
        self._check()
        self._digest.update(np.ascontiguousarray(values).data)
        self._progress.advance(values.nbytes)

    def digest(self) -> str:
        """SHA-256 of all that was counted in."""
        return self._digest.hexdigest()


def export_rows(source: Path, file: h5py.File, name: str, *, rows: NDArray[np.int64], tally: Tally) -> None:
    """Copy `rows` of an array that is a chunk a row to a dataset that is one too; checksums are verified.

    Raises:
        StoreError: if a chunk is missing or damaged.
    """
    array = open_array(source)
    dataset = _create_dataset(file, name, array, dtype=array.dtype, chunks=(1, *array.shape[1:]))
    tally.add_values(rows)
    for block in _blocks(rows, row_bytes=row_bytes(dataset)):
        values = read_rows(source, block, shape=array.shape[1:], dtype=array.dtype)
        for position, row in enumerate(block):
            dataset[row : row + 1] = values[position : position + 1]
        tally.add_values(values)


def import_rows(dataset: h5py.Dataset, target: Path, *, rows: NDArray[np.int64], tally: Tally) -> None:
    """Copy what `export_rows` wrote to the array at `target`, which has its metadata and no chunk yet."""
    tally.add_values(rows)
    for block in _blocks(rows, row_bytes=row_bytes(dataset)):
        values = np.empty((len(block), *dataset.shape[1:]), dtype=dataset.dtype)
        for position, row in enumerate(block):
            dataset.read_direct(values, np.s_[row : row + 1], np.s_[position : position + 1])
        tally.add_values(values)
        with disk_errors(target, kept=NOTHING_KEPT):
            write_rows(target, block, values)


def export_records(array: RecordArray, file: h5py.File, name: str, *, tally: Tally) -> None:
    """Copy an array of records, those chunks that are there.

    Raises:
        StoreError: if a chunk is damaged.
    """
    held = open_array(array.path)
    numbers = [number for number in array.numbers() if number * array.rows_a_chunk < held.shape[0]]
    dtype = array.dtype
    if not _is_numeric(dtype):
        dtype = _text_type(text for number in numbers for text in array.chunk(number))
    dataset = _create_dataset(file, name, held, dtype=dtype, chunks=(array.rows_a_chunk,))
    tally.add_values(np.array(numbers, dtype=np.int64))
    for number in numbers:
        start = number * array.rows_a_chunk
        values = array.chunk(number)[: held.shape[0] - start]
        if not _is_numeric(dtype):
            values = np.array([text.encode() for text in values], dtype=dtype)
        dataset[start : start + len(values)] = values
        tally.add_values(values)


def import_records(dataset: h5py.Dataset, target: RecordArray, *, rows: NDArray[np.int64], tally: Tally) -> None:
    """Copy what `export_records` wrote; `rows` are the first ones of its chunks."""
    numbers = rows // target.rows_a_chunk
    tally.add_values(numbers)
    for start in range(0, len(numbers), _BLOCK_CHUNKS):
        files = {}
        for number in numbers[start : start + _BLOCK_CHUNKS].tolist():
            first = number * target.rows_a_chunk
            values = dataset[first : first + target.rows_a_chunk]
            tally.add_values(values)
            chunk = target.blank()
            chunk[: len(values)] = values if _is_numeric(values.dtype) else [text.decode() for text in values]
            files[target.name_of(number)] = target.encoded(chunk)
        with disk_errors(target.path, kept=NOTHING_KEPT):
            replace_files({target.path: files})


def export_whole(source: Path, file: h5py.File, name: str, *, tally: Tally) -> None:
    """Copy a column of the index, a target, a split, or a constant.

    Raises:
        StoreError: if a chunk is damaged.
    """
    array = open_array(source)
    try:
        values = read_whole(source)
    except (ValueError, RuntimeError) as error:
        raise StoreError(f"{source} is damaged ({error}); nothing was exported.") from None
    if not _is_numeric(array.dtype):
        texts = values.tolist()
        values = np.array([text.encode() for text in texts], dtype=_text_type(texts))
    dataset = _create_dataset(file, name, array, dtype=values.dtype, chunks=whole_chunks(array.shape))
    dataset[:] = values
    tally.add_values(values)


def import_whole(dataset: h5py.Dataset, target: Path, *, tally: Tally) -> None:
    """Copy what `export_whole` wrote to the array at `target`, which has its metadata and no chunk yet."""
    parts: list[Values] = []
    for start in range(0, dataset.shape[0], _COLUMN_CHUNK):  # texts are padded to the longest no longer than that
        values = dataset[start : start + _COLUMN_CHUNK]
        tally.add_values(values)
        if not _is_numeric(values.dtype):
            values = np.array([text.decode() for text in values], dtype=object)
        parts.append(values)
    if parts:
        with disk_errors(target, kept=NOTHING_KEPT):
            open_array(target, mode="r+")[:] = np.concatenate(parts)


def whole_chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How a column, a target or a constant is cut in the file: about as many values a chunk, in whole rows."""
    return (max(1, min(shape[0], _COLUMN_CHUNK // max(1, prod(shape[1:])))), *shape[1:])


def _create_dataset(
    file: h5py.File, name: str, array: Any, *, dtype: np.dtype[Any], chunks: tuple[int, ...]
) -> h5py.Dataset:
    """Make the dataset of a Zarr array: its shape, fill value, dimension names and attributes."""
    dataset = file.create_dataset(
        name,
        shape=array.shape,
        dtype=dtype,
        chunks=tuple(max(length, 1) for length in chunks),
        maxshape=(None, *array.shape[1:]),
        fletcher32=True,
        fillvalue=array.fill_value if _is_numeric(dtype) else None,
        compression=None if _is_numeric(dtype) else "gzip",  # texts are padded to the longest
    )
    for dimension, label in zip(dataset.dims, array.metadata.dimension_names or (), strict=False):
        dimension.label = label
    for key, value in array.attrs.items():
        dataset.attrs[key] = value if isinstance(value, str | int | float) else json.dumps(value)
    return dataset


def _is_numeric(dtype: np.dtype[Any]) -> bool:
    return dtype.kind in "fiu"


def _text_type(texts: Iterable[str]) -> np.dtype[Any]:
    """UTF-8 with room for the longest of these texts; padded with zeros, so that none may hold one."""
    longest = 1
    for text in texts:
        if "\0" in text:
            raise StoreError(f"The text {text!r} holds a zero character, which HDF5 cannot keep; it was not exported.")
        longest = max(longest, len(text.encode()))
    text_type: np.dtype[Any] = h5py.string_dtype("utf-8", longest)
    return text_type


def write_text(node: h5py.Group | h5py.Dataset, name: str, text: str) -> None:
    """Give a group or dataset a text for an attribute, of fixed length: HDF5 keeps texts of other lengths where nothing
    guards them, and can be made to turn in circles by one flipped bit."""
    data = text.encode()
    node.attrs.create(name, np.array(data, dtype=h5py.string_dtype("utf-8", max(len(data), 1))))


def row_bytes(dataset: h5py.Dataset) -> int:
    """Bytes of one row."""
    return int(dataset.dtype.itemsize * prod(dataset.shape[1:]))


def _blocks(rows: NDArray[np.int64], *, row_bytes: int) -> Iterator[NDArray[np.int64]]:
    num_rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // max(row_bytes, 1)))
    for start in range(0, len(rows), num_rows):
        yield rows[start : start + num_rows]
