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
