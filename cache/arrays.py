"""What an array in the store is: its name, its shape for one row, its storage type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

from .provenance import Json

StorageType = Literal["float16", "bfloat16", "float32", "float64", "int32", "uint8"]

_ITEM_BYTES: dict[StorageType, int] = {
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "int32": 4,
    "uint8": 1,
}


@dataclass(frozen=True)
class ArraySpec:
    """One array of a modality.

    `shape` and `dims` describe one row; in the store a first axis `row` stands before them. A ragged array has its
    largest length here, and a second array `<name>_length` (int32) says how much of it is real.
    """

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    dtype: StorageType
    allows_nan: bool = False  # true only where NaN is a value with a meaning, such as "never"
    attributes: Mapping[str, Json] = field(default_factory=dict)  # kept with the array

    def __post_init__(self) -> None:
        assert len(self.shape) == len(self.dims), f"{self.name}: {self.shape} against {self.dims}"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row without its checksum."""
        return prod(self.shape) * _ITEM_BYTES[self.dtype]

    def to_manifest(self) -> dict[str, Json]:
        """As plain JSON values."""
        return {
            "shape": list(self.shape),
            "dims": list(self.dims),
            "dtype": self.dtype,
            "allows_nan": self.allows_nan,
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True)
class ModalitySpec:
    """The arrays of one modality and what makes them."""

    name: str
    arrays: Sequence[ArraySpec]
    made_by: Mapping[str, Json]  # backbone, preprocessing, libraries: all that changes the numbers

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in all arrays."""
        return sum(array.row_bytes for array in self.arrays)

    def to_manifest(self) -> dict[str, Json]:
        """As plain JSON values."""
        return {"made_by": dict(self.made_by), "arrays": {array.name: array.to_manifest() for array in self.arrays}}
