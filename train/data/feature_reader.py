"""What a recipe needs, read from a store: arrays, which rows have those that rows may lack, and targets."""

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
from ..types import Batch, FeatureRequest, mapped
from .requests import held_requests, targets_of

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Reads rows as batches on the CPU."""

    store: FeatureStore
    requests: Sequence[FeatureRequest]
    targets: Sequence[str] = ()

    def only(self, arrays: Collection[str] | None) -> "FeatureReader":
        """A reader of the arrays and targets of these names; None: of everything."""
        if arrays is None:
            return self
        requests = [request for request in self.requests if request.name in arrays]
        return FeatureReader(self.store, requests, [name for name in self.targets if name in arrays])

    def num_bytes(self, num_rows: int) -> int:
        """Memory that so many rows take, without reading any."""
        return num_rows * sum(like.element_size() * like.shape[1:].numel() for like in self._no_rows.tensors())

    def empty(self, num_rows: int, *, device: torch.device, pinned: bool = False) -> Batch:
        """Memory for so many rows, not filled; `pinned`: such as the host's that a GPU copies from."""

        def empty(like: Tensor) -> Tensor:
            return torch.empty((num_rows, *like.shape[1:]), dtype=like.dtype, device=device, pin_memory=pinned)

        return mapped(empty, self._no_rows)

    def read(self, rows: Rows, *, out: Batch | None = None) -> Batch:
        """Read these rows, into the memory of `out` where given.

        Raises:
            StoreError: if a row that should be complete is not, or its chunk is missing or damaged.
        """
        read = Batch(
            {
                request.name: self._array(request, rows, out=None if out is None else out.features[request.name])
                for request in held_requests(self.store, self.requests)
            },
            {name: torch.from_numpy(held[rows]) for name, held in self._present.items()},
            {name: torch.from_numpy(values[rows]) for name, values in self._targets.items()},
        )
        if out is None:
            return read
        # A byte or so a row: the detour through memory of their own costs nothing.
        for values, memory in ((read.present, out.present), (read.targets, out.targets)):
            for name, tensor in values.items():
                memory[name].copy_(tensor)
        return out

    def _array(self, request: FeatureRequest, rows: Rows, *, out: Tensor | None) -> Tensor:
        """One array; zeros for rows that lack an optional feature set."""
        held = self._present[request.feature_set][rows] if request.feature_set in self._present else None
        if held is None or held.all():
            return read_tensor(self.store, request.name, rows, out=out)
        values = read_tensor(self.store, request.name, rows[held])
        filled = values.new_empty((len(rows), *values.shape[1:])) if out is None else out
        filled.zero_()
        filled[torch.from_numpy(held)] = values
        return filled

    @cached_property
    def _no_rows(self) -> Batch:
        """What tells types and shapes."""
        return self.read(np.empty(0, np.int64))

    @cached_property
    def _present(self) -> Mapping[str, NDArray[np.bool_]]:
        """For each optional feature set, whether each row of the store has it."""
        optional = dict.fromkeys(request.feature_set for request in self.requests if request.optional)
        return {name: self.store.status(name) == Status.COMPLETE for name in optional}

    @cached_property
    def _targets(self) -> Mapping[str, NDArray[np.generic]]:
        """Those that are asked for, of each row of the store."""
        known = targets_of(self.store)
        return {name: known[name] for name in self.targets}
