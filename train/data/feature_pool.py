"""Features that several trainings share: each array is on the device once, however many recipes ask for it."""

import numpy as np
import torch

from ...cache.store import FeatureStore
from ..types import Batch, Needs
from .feature_reader import FeatureReader, Rows
from .requests import held_requests
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
        self._held = Batch({})

    def num_bytes(self, needs: Needs) -> int:
        """Memory that what a recipe needs, and the pool does not hold yet, will take."""
        return self._lacking(needs).num_bytes(len(self._rows))

    def source(self, rows: Rows, needs: Needs) -> ResidentFeatures:
        """These rows, all of which the pool has to be for; what it does not hold yet is loaded for all of its rows.

        Raises:
            TrainingError: if that does not fit the device's memory.
            StoreError: as `FeatureReader.read`.
        """
        lacking = self._lacking(needs)
        if lacking.requests or lacking.targets:
            self._held = self._held.beside(load_resident(lacking, self._rows, device=self.device).rows)
        positions = self._position_of[rows]
        assert (positions >= 0).all(), "the pool is not for these rows"
        held = self._held
        wanted = Batch(
            {request.name: held.features[request.name] for request in held_requests(self.store, needs.features)},
            {name: held.present[name] for name in needs.optional},
            {name: held.targets[name] for name in needs.targets},
        )
        first = int(positions[0])
        if np.array_equal(positions, np.arange(first, first + len(rows))):
            return ResidentFeatures(wanted).part(first, first + len(rows))
        return ResidentFeatures(wanted, torch.from_numpy(positions).to(self.device))

    def _lacking(self, needs: Needs) -> FeatureReader:
        """Reads what is not held yet; an array too of which only the presence is not."""
        held = self._held
        requests = [
            request
            for request in held_requests(self.store, needs.features)
            if request.name not in held.features or (request.optional and request.feature_set not in held.present)
        ]
        return FeatureReader(self.store, requests, [name for name in needs.targets if name not in held.targets])
