"""Features that several trainings share: each array is on the device once, however many recipes ask for it."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FeatureStore
from ..recipes.recipe import FeatureRequest
from .feature_reader import FeatureReader, Rows
from .resident import ResidentFeatures, load_resident


class FeaturePool:
    """Holds the arrays that were asked for so far, of a fixed set of rows.

    All rows have to have the feature sets that are not asked for as optional. Rows that are asked for together should
    stand together: those of a source that are neighbours here, in the order of the source, need no copying where
    batches go through them in order.
    """

    def __init__(self, store: FeatureStore, rows: Rows, *, device: torch.device) -> None:
        self.store = store
        self.device = device
        self._rows = rows
        self._position_of = np.full(len(store.index), -1, dtype=np.int64)
        self._position_of[rows] = np.arange(len(rows))
        self._tensors: dict[str, Tensor] = {}

    def num_bytes(self, requests: Sequence[FeatureRequest]) -> int:
        """Memory that arrays which are asked for and not held yet will take."""
        return FeatureReader(self.store, self._lacking(requests)).num_bytes(len(self._rows))

    def source(self, rows: Rows, requests: Sequence[FeatureRequest]) -> ResidentFeatures:
        """These rows, all of which the pool has to be for; arrays that it does not hold yet are loaded for all rows.

        Raises:
            TrainingError: if they do not fit the device's memory.
            StoreError: as `FeatureReader.read`.
        """
        lacking = FeatureReader(self.store, self._lacking(requests))
        if lacking.requests:
            self._tensors |= load_resident(lacking, self._rows, device=self.device).tensors
        positions = self._position_of[rows]
        assert (positions >= 0).all(), "the pool is not for these rows"
        tensors = {name: self._tensors[name] for name in FeatureReader(self.store, requests).names}
        first = int(positions[0])
        if np.array_equal(positions, np.arange(first, first + len(rows))):
            return ResidentFeatures(tensors).part(first, first + len(rows))
        return ResidentFeatures(tensors, torch.from_numpy(positions).to(self.device))

    def _lacking(self, requests: Sequence[FeatureRequest]) -> list[FeatureRequest]:
        """Requests whose array or presence is not held yet."""
        return [
            request
            for request in requests
            if any(name not in self._tensors for name in FeatureReader(self.store, [request]).names)
        ]
