"""The arrays in a checkpoint of TensorFlow 2: an index of names, and the numbers in a file beside it.

The index is a sorted string table (SSTable, as LevelDB writes it): blocks of keys that share their beginnings, a block
that lists these, and a footer that says where that one is. TensorFlow leaves it uncompressed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from .protobuf import bytes_in, fields, number_in, varint

_FOOTER_BYTES = 48
_MAGIC = bytes.fromhex("57fb808b247547db")
_TRAILER_BYTES = 5  # kind of compression and a checksum
_WORD = 4

_DTYPES = {1: "<f4", 2: "<f8", 3: "<i4", 9: "<i8"}  # by number in types.proto
_HEADER = b""  # its key
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # behind the name of each variable


@dataclass(frozen=True)
class _ArrayEntry:
    """Of one array: its type, its shape, and where it begins and how long it is, in bytes."""

    data_type: int
    shape: list[int]
    offset: int
    size: int


def read_checkpoint(index: bytes, data: bytes) -> dict[str, np.ndarray]:
    """The numbers of a checkpoint by the names of its variables; texts in it are left out.

    Raises:
        ValueError: if it is none, or lies in several files.
    """
    arrays = {}
    for key, value in _entries(memoryview(index)):
        if key == _HEADER:
            _check_header(value)
            continue
        entry = _array_entry(value)
        if entry.data_type in _DTYPES:
            arrays[key.decode().removesuffix(_VALUE)] = _array(entry, data)
    return arrays


def _entries(index: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Keys and values of all blocks in turn."""
    if len(index) < _FOOTER_BYTES or index[-len(_MAGIC) :] != _MAGIC:
        raise ValueError("its index is no sorted string table")
    footer = index[-_FOOTER_BYTES:]
    _, position = _block_handle(footer, 0)
    listing, _ = _block_handle(footer, position)
    for _, handle in _block(index, *listing):
        place, _ = _block_handle(handle, 0)
        yield from _block(index, *place)


def _block_handle(message: memoryview, position: int) -> tuple[tuple[int, int], int]:
    offset, position = varint(message, position)
    size, position = varint(message, position)
    return (offset, size), position


def _block(index: memoryview, offset: int, size: int) -> Iterator[tuple[bytes, memoryview]]:
    if offset + size + _TRAILER_BYTES > len(index) or size < _WORD:
        raise ValueError(f"a block of {size:,} bytes at {offset:,} is not within the index")
    if index[offset + size] != 0:
        raise ValueError("its index is compressed, which is not read")
    block = index[offset : offset + size]
    restarts = int.from_bytes(block[-_WORD:], "little")
    end = size - _WORD * (restarts + 1)
    if end < 0:
        raise ValueError("a block of the index is damaged")
    position, key = 0, b""
    while position < end:
        shared, position = varint(block, position)
        own, position = varint(block, position)
        length, position = varint(block, position)
        if shared > len(key) or own + length > end - position:
            raise ValueError("an entry of the index is damaged")
        key = key[:shared] + bytes(block[position : position + own])
        position += own
        yield key, block[position : position + length]
        position += length


def _check_header(header: memoryview) -> None:
    """Raise ValueError unless the numbers are in one file, the lowest byte first."""
    values = dict(fields(header))
    if values.get(1) != 1 or values.get(2, 0) != 0:
        raise ValueError("its numbers are in several files, or the highest byte is first")


def _array_entry(entry: memoryview) -> _ArrayEntry:
    data_type, shape, numbers = 0, [], {3: 0, 4: 0, 5: 0}  # shard, offset, size
    for number, value in fields(entry):
        if number == 1:
            data_type = number_in(value)
        elif number == 2:
            axes = [bytes_in(axis) for field, axis in fields(bytes_in(value)) if field == 2]
            shape = [number_in(dict(fields(axis)).get(1, 0)) for axis in axes]
        elif number in numbers:
            numbers[number] = number_in(value)
        elif number == 7:
            raise ValueError("an array is stored in slices, which are not read")
    if numbers[3] != 0:
        raise ValueError("its numbers are in several files")
    return _ArrayEntry(data_type, shape, offset=numbers[4], size=numbers[5])


def _array(entry: _ArrayEntry, data: bytes) -> np.ndarray:
    dtype = np.dtype(_DTYPES[entry.data_type])
    if prod(entry.shape) * dtype.itemsize != entry.size or entry.offset + entry.size > len(data):
        raise ValueError(f"an array of {entry.size:,} bytes at {entry.offset:,} has the shape {entry.shape[:8]}")
    stored = memoryview(data)[entry.offset : entry.offset + entry.size]
    return np.frombuffer(stored, dtype).reshape(entry.shape)
