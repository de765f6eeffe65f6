"""Rows of a store as torch tensors in their real dtype; apart from the store, so that reading needs no torch."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .store import FeatureStore


def read_tensor(
    store: FeatureStore, array: str, rows: Sequence[int] | NDArray[np.int64], *, out: Tensor | None = None
) -> Tensor:
    """Read rows of `<set>/<name>` on the CPU, row axis first, into `out` where given, which is returned.

    bfloat16 comes back as torch.bfloat16.

    Raises:
        StoreError: as `FeatureStore.read`.
    """
    reduced = store.array_spec(array).dtype == "bfloat16"
    if out is not None:
        store.read(array, rows, out=(out.view(torch.uint16) if reduced else out).numpy())
        return out
    values = torch.from_numpy(store.read(array, rows))
    return values.view(torch.bfloat16) if reduced else values
