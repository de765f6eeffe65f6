"""What a recipe asks for, read from a store: arrays, and which rows have those that rows may lack."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...cache.status import Status
from ...cache.store import FeatureStore
from ...cache.tensors import read_tensor
from ..recipes.recipe import Batch, FeatureRequest, presence_name

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Reads requested features as tensors by name: the arrays, and the presence of optional feature sets."""

    store: FeatureStore
    requests: Sequence[FeatureRequest]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all tensors of a batch."""
        return (*(request.name for request in self.requests), *map(presence_name, self._optional))

    def only(self, arrays: Collection[str] | None) -> "FeatureReader":
        """A reader of these arrays alone; None: of all."""
        if arrays is None:
            return self
        return FeatureReader(self.store, [request for request in self.requests if request.name in arrays])

    def num_bytes(self, num_rows: int) -> int:
        """Memory that so many rows take, without reading any."""
        arrays = sum(self.store.array_spec(request.name).row_bytes for request in self.requests)
        return num_rows * (arrays + len(self._optional))

    def empty(self, num_rows: int, *, device: torch.device, pinned: bool = False) -> dict[str, Tensor]:
        """Memory for so many rows, not filled; `pinned`: such as the host's that a GPU copies from."""
        nothing = np.empty(0, np.int64)

        def empty(name: str) -> Tensor:
            like = self.read(name, nothing)
            return torch.empty((num_rows, *like.shape[1:]), dtype=like.dtype, device=device, pin_memory=pinned)

        return {name: empty(name) for name in self.names}

    def read(self, name: str, rows: Rows, *, out: Tensor | None = None) -> Tensor:
        """Read one tensor on the CPU, into `out` where given; zeros for rows that lack an optional feature set.

        Raises:
            StoreError: if a row that should be complete is not, or its chunk is missing or damaged.
        """
        feature_set = name.rpartition("/")[0]
        held = self._present[feature_set][rows] if feature_set in self._present else None
        if held is not None and name == presence_name(feature_set):
            values = torch.from_numpy(held)
            return values if out is None else out.copy_(values)
        if held is None or held.all():
            return read_tensor(self.store, name, rows, out=out)
        values = read_tensor(self.store, name, rows[held])
        filled = values.new_empty((len(rows), *values.shape[1:])) if out is None else out
        filled.zero_()
        filled[torch.from_numpy(held)] = values
        return filled

    def read_batch(self, rows: Rows, *, out: Mapping[str, Tensor] | None = None) -> Batch:
        """Read all tensors of these rows on the CPU, into those of `out` where given."""
        return {name: self.read(name, rows, out=None if out is None else out[name]) for name in self.names}

    @cached_property
    def _present(self) -> Mapping[str, NDArray[np.bool_]]:
        """For each optional feature set, whether each row of the store has it."""
        return {name: self.store.status(name) == Status.COMPLETE for name in self._optional}

    @property
    def _optional(self) -> tuple[str, ...]:
        """Feature sets that rows may lack."""
        return tuple(dict.fromkeys(request.feature_set for request in self.requests if request.optional))


def belonging_to(names: Collection[str], arrays: Collection[str] | None) -> list[str]:
    """Those of a batch's `names` that stay where only `arrays` are wanted: they, and their feature sets' presence."""
    if arrays is None:
        return list(names)
    wanted = {*arrays, *(presence_name(array.rpartition("/")[0]) for array in arrays)}
    return [name for name in names if name in wanted]
