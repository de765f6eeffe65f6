"""Features that stay on the device: loaded once, so that a batch is an index gather."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import NDArray
from torch import Tensor

from ..cache.store import FeatureStore
from ..cache.tensors import read_tensor
from ..errors import TrainingError
from .recipes.recipe import Batch, FeatureRequest
from .requests import positions, row_shape

_BLOCK_ROWS = 256  # rows read at a time, so that host memory holds few beside those that stay
_USABLE_SHARE = 0.8  # of the free memory; the rest is for the model, gradients and activations


@dataclass(frozen=True, eq=False)
class ResidentFeatures:
    """Requested features of some rows, on one device.

    Attributes:
        tensors: by `<modality>/<array>`, row axis first, in the storage type of the cache.
        rows: row numbers in the store, one a sample.
        labels: 0 normal, 1 anomalous, one a sample.
    """

    tensors: Mapping[str, Tensor]
    rows: NDArray[np.int64]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(iter(self.tensors.values())).device

    @property
    def num_bytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def batch(self, samples: Int64[Tensor, " batch"]) -> Batch:
        """The samples at these positions (of this object, not of the store)."""
        chosen = samples.to(self.device)
        return {name: tensor.index_select(0, chosen) for name, tensor in self.tensors.items()}


def load_resident(
    store: FeatureStore, rows: NDArray[np.int64], *, requests: Sequence[FeatureRequest], device: torch.device
) -> ResidentFeatures:
    """Read the requested features of `rows` to `device`.

    Raises:
        TrainingError: if they do not fit its memory.
        StoreError: as `FeatureStore.read`.
    """
    assert len(rows), "nothing to load"
    _require_memory(resident_bytes(store, requests, num_rows=len(rows)), device=device)
    tensors = {request.name: _load(store, rows, request=request, device=device) for request in requests}
    return ResidentFeatures(tensors=tensors, rows=rows, labels=store.index.labels[rows])


def resident_bytes(store: FeatureStore, requests: Sequence[FeatureRequest], *, num_rows: int) -> int:
    """Memory that `num_rows` rows will take, without reading any."""
    return num_rows * sum(_row_bytes(store, request) for request in requests)


def available_bytes(device: torch.device) -> int | None:
    """Free memory of `device`; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _row_bytes(store: FeatureStore, request: FeatureRequest) -> int:
    spec = store.array_spec(request.name)
    return spec.row_bytes // math.prod(spec.shape) * math.prod(row_shape(store, request))


def _require_memory(needed: int, *, device: torch.device) -> None:
    available = available_bytes(device)
    if available is not None and needed > _USABLE_SHARE * available:
        raise TrainingError(
            f"The features take {needed / 1e9:.2f} GB and {device} has {available / 1e9:.2f} GB free, of which "
            f"{_USABLE_SHARE:.0%} are used at most. Choose fewer blocks with --set model.blocks=[...], another "
            "--set train.device, or make room."
        )


def _load(store: FeatureStore, rows: NDArray[np.int64], *, request: FeatureRequest, device: torch.device) -> Tensor:
    taken = positions(store, request)
    first = read_tensor(store, request.name, rows[:_BLOCK_ROWS], take=taken)
    result = torch.empty((len(rows), *first.shape[1:]), dtype=first.dtype, device=device)
    result[: len(first)] = first
    for start in range(_BLOCK_ROWS, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        result[start : start + len(block)] = read_tensor(store, request.name, block, take=taken)
    return result
