"""Casts to storage types that refuse to lose a value: an overflow or a NaN is an error, never a number."""

import numpy as np
from numpy.typing import NDArray

from ..errors import PrecisionError
from .arrays import ArraySpec, StorageType

# Zarr has no bfloat16: its bits are kept as uint16 and the array's attributes say so.
NUMPY_TYPES: dict[StorageType, np.dtype[np.generic]] = {
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
    "float32": np.dtype("<f4"),
    "float64": np.dtype("<f8"),
    "int32": np.dtype("<i4"),
    "uint8": np.dtype("u1"),
}
_LARGEST: dict[StorageType, float] = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38}


def to_storage(values: NDArray[np.generic], spec: ArraySpec, *, owner: str) -> NDArray[np.generic]:
    """Cast one row's `values` to the storage type of `spec`; `owner` names the row in errors.

    Raises:
        PrecisionError: if a floating-point value is not finite, or larger than the storage type holds.
        ValueError: if the shape is not that of `spec`.
    """
    if values.shape != spec.shape:
        raise ValueError(f"{owner}, array {spec.name}: shape {values.shape}, the store expects {spec.shape}")
    if np.issubdtype(values.dtype, np.floating):
        _check_range(values, spec, owner=owner)
    if spec.dtype == "bfloat16":
        return _bfloat16_bits(values.astype(np.float32))
    return np.ascontiguousarray(values, dtype=NUMPY_TYPES[spec.dtype])


def from_bfloat16_bits(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 values that bfloat16 bits stand for, exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _check_range(values: NDArray[np.generic], spec: ArraySpec, *, owner: str) -> None:
    largest = float(np.max(np.abs(values), initial=0.0))  # NaN anywhere makes this NaN
    if not np.isfinite(largest) and not spec.allows_nan:
        raise PrecisionError(f"{owner}, array {spec.name}: the features hold NaN or infinity; nothing was stored.")
    limit = _LARGEST.get(spec.dtype)
    if limit is not None and largest > limit:
        raise PrecisionError(
            f"{owner}, array {spec.name}: a value of {largest:.6g} does not fit {spec.dtype} (at most {limit:.6g}); "
            "extract with --set cache.dtype=bfloat16 or float32."
        )


def _bfloat16_bits(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    # Round to nearest, ties to even: add half a unit of the last kept bit, plus that bit itself.
    bits = np.ascontiguousarray(values).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return rounded.astype("<u2")
