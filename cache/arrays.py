"""What the store holds for each row: arrays with a name, a shape and a storage type, in sets that are made together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Literal

import numpy as np

from ..documents import Json

StorageType = Literal["float16", "bfloat16", "float32", "float64", "int32", "uint8"]

# Zarr has no bfloat16: its bits are kept as uint16 and the array's attributes say so.
NUMPY_TYPES: dict[StorageType, np.dtype[np.generic]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
}

ACTIVE = "arc_on"
"""The array with the first and last second at which what is recorded goes on. It is called as in the field that the
first stores were made for: their fingerprints hang on the name."""

_ORACLE = "oracle_"


def oracles_among(names: Iterable[str]) -> list[str]:
    """Those features, feature sets or arrays that hold what nobody knows of a new sample, such as what people saw in
    it: their names begin so."""
    return [name for name in names if name.startswith(_ORACLE)]


@dataclass(frozen=True)
class ArraySpec:
    """One array of a feature set.

    `shape` and `dims` describe one row; in the store a first axis `row` stands before them. A ragged array has its
    largest length here, and a second array `<name>_length` (int32) says how much of it is real.
    """

    name: str
    shape: tuple[int, ...]
    dims: tuple[str, ...]
    dtype: StorageType
    allows_nan: bool = False  # true only where NaN is a value with a meaning, such as "never"
    distinct: bool = True  # false where two rows may well hold equal values, such as lengths
    attributes: Mapping[str, Json] = field(default_factory=dict)  # kept with the array

    @property
    def is_target(self) -> bool:
        """Whether it is to be predicted or judged, such as a label of each point: it is an input of no model."""
        return self.attributes.get("target") is True

    def __post_init__(self) -> None:
        assert len(self.shape) == len(self.dims), f"{self.name}: {self.shape} against {self.dims}"

    @property
    def tells_of_others(self) -> bool:
        """Whether it is a mask, a length or times, which say what of other arrays is real, or when it was."""
        return not self.distinct and (self.dtype in ("uint8", "int32") or self.attributes.get("unit") == "s")

    @property
    def row_bytes(self) -> int:
        """Bytes of one row without its checksum."""
        return prod(self.shape) * NUMPY_TYPES[self.dtype].itemsize

    def to_manifest(self) -> dict[str, Json]:
        """The array as the manifest describes it, in plain JSON values."""
        return {
            "shape": list(self.shape),
            "dims": list(self.dims),
            "dtype": self.dtype,
            "allows_nan": self.allows_nan,
            "distinct": self.distinct,
            "attributes": dict(self.attributes),
        }


@dataclass(frozen=True)
class FeatureSetSpec:
    """Arrays that are made and complete together, all or none, and what makes them."""

    name: str  # "video", "image/block_10"
    arrays: Sequence[ArraySpec]
    made_by: Mapping[str, Json]  # backbone, preprocessing, libraries: all that changes the numbers

    @property
    def row_bytes(self) -> int:
        """Bytes of one row in all arrays."""
        return sum(array.row_bytes for array in self.arrays)

    def to_manifest(self) -> dict[str, Json]:
        """The set as the manifest describes it, in plain JSON values."""
        return {"made_by": dict(self.made_by), "arrays": {array.name: array.to_manifest() for array in self.arrays}}
