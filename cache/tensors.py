"""Rows of a store as torch tensors in their real dtype; apart from the store, so that reading needs no torch."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .store import FeatureStore


def read_tensor(
    store: FeatureStore, array: str, rows: Sequence[int] | NDArray[np.int64], *, take: Sequence[int] | None = None
) -> Tensor:
    """Read rows of `<modality>/<name>` on the CPU, row axis first; bfloat16 comes back as torch.bfloat16.

    Raises:
        StoreError: as `FeatureStore.read`.
    """
    values = torch.from_numpy(store.read(array, rows, take=take))
    return values.view(torch.bfloat16) if store.array_spec(array).dtype == "bfloat16" else values
