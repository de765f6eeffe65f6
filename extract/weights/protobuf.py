"""Protocol buffers on the wire: the fields of a message, without a schema; TensorFlow and ONNX files are made of them.

A message lies in the file that it is read from, and a field of bytes is a view of it: whatever a length claims, nothing
is made of it beyond the bytes that are there.
"""

from collections.abc import Iterator

_LONGEST_VARINT = 10  # bytes
_LARGEST = 1 << 64

_FIXED_BYTES = {1: 8, 5: 4}  # by wire type

Value = int | memoryview


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Number and value of each field in turn: a number for a varint, the bytes for what is fixed or has a length.

    Raises:
        ValueError: if it is no message.
    """
    position = 0
    while position < len(message):
        key, position = varint(message, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0, which there is not")
        if wire_type == 0:
            value, position = varint(message, position)
            yield number, value
            continue
        if wire_type == 2:
            length, position = varint(message, position)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise ValueError(f"field {number} is of wire type {wire_type}, which there is not")
        if length > len(message) - position:
            raise ValueError(f"field {number} claims {length:,} bytes, and {len(message) - position:,} are left")
        yield number, message[position : position + length]
        position += length


def varint(message: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, seven bits a byte, and where the next field begins; raises ValueError if it is none."""
    value = 0
    for index, byte in enumerate(message[position : position + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= _LARGEST:
                break
            return value, position + index + 1
    raise ValueError("a number does not end")


def number_in(value: Value) -> int:
    """A field's value that must be a number.

    Raises:
        ValueError: if it is bytes.
    """
    if not isinstance(value, int):
        raise ValueError("bytes stand where a number belongs")
    return value


def bytes_in(value: Value) -> memoryview:
    """A field's value that must be bytes.

    Raises:
        ValueError: if it is a number.
    """
    if isinstance(value, int):
        raise ValueError("a number stands where bytes belong")
    return value


def text_in(value: Value) -> str:
    """A field's value that must be text."""
    return str(bytes_in(value), "utf-8")


def numbers_in(value: Value) -> list[int]:
    """One entry of a repeated number, or all of them where they are packed."""
    if isinstance(value, int):
        return [value]
    numbers, position = [], 0
    while position < len(value):
        number, position = varint(value, position)
        numbers.append(number)
    return numbers
