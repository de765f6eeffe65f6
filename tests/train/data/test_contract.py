"""Our sources of batches: resident, a part of shared ones, streamed."""

import numpy as np
import torch

from weldcache.cache.store import FeatureStore
from weldcache.tests.train.data.contract import NEEDS, BatchSourceContract
from weldcache.train.data.batches import BatchSource
from weldcache.train.data.features import FeatureReader, Rows
from weldcache.train.data.resident import FeaturePool, load_resident
from weldcache.train.data.streamed import StreamedFeatures

CPU = torch.device("cpu")


class TestResident(BatchSourceContract):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        return load_resident(FeatureReader(store, NEEDS.features, NEEDS.targets), rows, device=CPU)


class TestShared(BatchSourceContract):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        everybody = np.sort(np.concatenate([rows, store.rows("train", feature_sets=["video", "sensor"])]))
        return FeaturePool(store, everybody, device=CPU).source(rows, NEEDS)


class TestStreamed(BatchSourceContract):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        return StreamedFeatures(FeatureReader(store, NEEDS.features, NEEDS.targets), rows, CPU, read_ahead_bytes=1)
