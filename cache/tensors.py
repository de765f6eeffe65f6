"""Torch tensors to rows of a store and back, in their real dtype; apart from the store, so that reading needs no torch.

A cast to a storage type refuses to lose a value: an overflow or a NaN is an error, never a number.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import PrecisionError
from .arrays import ArraySpec, StorageType
from .chunks import Rows
from .store import FeatureStore

TORCH_TYPES: dict[StorageType, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
    "int32": torch.int32,
    "uint8": torch.uint8,
}


def to_storage(values: Tensor, spec: ArraySpec, *, owners: Sequence[str]) -> NDArray[np.generic]:
    """Cast rows of an array to its storage type, on the device where they are, and bring them to the host.

    `values` is (row, *spec.shape); `owners` names the rows in errors. bfloat16 comes back as its bits in uint16.

    Raises:
        PrecisionError: if a floating-point value is not finite, or larger than the storage type holds.
        ValueError: if the shape is not that of `spec`.
    """
    if values.shape != (len(owners), *spec.shape):
        raise ValueError(
            f"array {spec.name}: shape {tuple(values.shape)}, the store expects {len(owners)}, {spec.shape}"
        )
    cast = values.to(TORCH_TYPES[spec.dtype])
    # A value that is too large becomes infinite in the cast, so one look at its result finds all that can be wrong.
    if cast.is_floating_point() and not spec.allows_nan and not bool(cast.isfinite().all()):
        raise _lost_value(values, cast, spec, owners=owners)
    host = cast.cpu().contiguous()
    return (host.view(torch.uint16) if spec.dtype == "bfloat16" else host).numpy()


def from_storage(values: NDArray[np.generic], spec: ArraySpec) -> Tensor:
    """What `to_storage` gave as a tensor, which shares its memory: bfloat16 again, where it is its bits in uint16."""
    tensor = torch.from_numpy(values)
    return tensor.view(torch.bfloat16) if spec.dtype == "bfloat16" else tensor


def _lost_value(values: Tensor, cast: Tensor, spec: ArraySpec, *, owners: Sequence[str]) -> PrecisionError:
    flat = cast.reshape(len(owners), -1)
    row = int(torch.nonzero(~flat.isfinite().all(dim=1))[0])
    largest = float(values[row].abs().max())  # NaN anywhere makes this NaN
    if not np.isfinite(largest):
        return PrecisionError(
            f"{owners[row]}, array {spec.name}: the features hold NaN or infinity; nothing of it was stored."
        )
    limit = torch.finfo(cast.dtype).max
    return PrecisionError(
        f"{owners[row]}, array {spec.name}: a value of {largest:.6g} does not fit {spec.dtype} (at most {limit:.6g}); "
        "extract with --set cache.dtype=bfloat16 or float32."
    )


def read_tensor(store: FeatureStore, array: str, rows: Rows, *, out: Tensor | None = None) -> Tensor:
    """Read rows of `<set>/<name>` on the CPU, row axis first, into `out` where given, which is returned.

    bfloat16 comes back as torch.bfloat16.

    Raises:
        StoreError: as `FeatureStore.read`.
    """
    reduced = store.array_spec(array).dtype == "bfloat16"
    if out is not None:
        store.read(array, rows, out=(out.view(torch.uint16) if reduced else out).numpy())
        return out
    return from_storage(store.read(array, rows), store.array_spec(array))
