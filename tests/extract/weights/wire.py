"""Protocol buffers written by hand, for files of the formats that are read."""

from collections.abc import Sequence

import numpy as np


def varint(value: int) -> bytes:
    written = b""
    while value >= 0x80:
        written += bytes([value & 0x7F | 0x80])
        value >>= 7
    return written + bytes([value])


def field(number: int, value: int | bytes | str) -> bytes:
    """A varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def onnx_array(
    name: str, array: np.ndarray, *, data_type: int = 1, dims: Sequence[int] | None = None, more: bytes = b""
) -> bytes:
    """An initializer of a graph."""
    shape = array.shape if dims is None else dims
    fields = b"".join(field(1, length) for length in shape) + field(2, data_type) + field(8, name)
    return field(5, fields + field(9, array.tobytes()) + more)


def onnx_product(name: str, *inputs: str, operation: str = "MatMul") -> bytes:
    """A node of a graph."""
    return field(
        1, b"".join(field(1, each) for each in inputs) + field(2, "out") + field(3, name) + field(4, operation)
    )


def onnx_file(*parts: bytes) -> bytes:
    """A model whose graph has these nodes and initializers."""
    return field(1, 7) + field(2, "test") + field(7, b"".join(parts)) + field(8, field(2, 14))


def checkpoint_entry(
    shape: Sequence[int], offset: int, size: int, *, data_type: int = 1, shard: int = 0, more: bytes = b""
) -> bytes:
    """What the index of a checkpoint of TensorFlow says of one array."""
    axes = b"".join(field(2, field(1, length)) for length in shape)
    return field(1, data_type) + field(2, axes) + field(3, shard) + field(4, offset) + field(5, size) + more


def table_block(entries: Sequence[tuple[bytes, bytes]], *, kind: int = 0) -> bytes:
    """Keys without their common beginnings, one restart, the kind of compression and room for a checksum."""
    written, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        written += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        before = key
    return written + bytes(4) + (1).to_bytes(4, "little") + bytes([kind]) + bytes(4)


def sorted_table(*blocks: bytes) -> bytes:
    """An index of these blocks."""
    table, handles = b"", []
    for number, block in enumerate(blocks):
        handles.append((bytes([number]), varint(len(table)) + varint(len(block) - 5)))
        table += block
    listing = table_block(handles)
    footer = varint(0) + varint(0) + varint(len(table)) + varint(len(listing) - 5)
    return table + listing + footer.ljust(40, b"\0") + bytes.fromhex("57fb808b247547db")
