"""Our sources of batches: resident, a part of shared ones, streamed, streamed in part and wholly kept."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.testing.batches import BatchSourceContract
from weldcache.train.data import kept
from weldcache.train.data.batches import BatchSource
from weldcache.train.data.features import FeatureReader, Rows
from weldcache.train.data.resident import FeaturePool, load_resident
from weldcache.train.data.streamed import StreamedFeatures
from weldcache.train.types import FeatureRequest, Needs

CPU = torch.device("cpu")
NEEDS = Needs(
    (
        FeatureRequest("video", "tokens"),
        FeatureRequest("audio", "tokens", optional=True),
        FeatureRequest("audio", "tokens_length", optional=True),
        FeatureRequest("sensor", "values"),
    ),
    targets=("label",),
)


class OfTheToyStore(BatchSourceContract):
    needs: ClassVar[Needs] = NEEDS

    @pytest.fixture
    def store(self, shared_store: FeatureStore) -> FeatureStore:
        return shared_store


class TestResident(OfTheToyStore):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        return load_resident(FeatureReader(store, NEEDS.features, NEEDS.targets), rows, device=CPU)


class TestShared(OfTheToyStore):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        everybody = np.sort(np.concatenate([rows, store.rows("train", feature_sets=["video", "sensor"])]))
        return FeaturePool(store, everybody, device=CPU).source(rows, NEEDS)


class TestStreamed(OfTheToyStore):
    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        return StreamedFeatures(FeatureReader(store, NEEDS.features, NEEDS.targets), rows, CPU, read_ahead_bytes=1)


class TestStreamedInPart(OfTheToyStore):
    """The lengths and the film stay, sound and sensors do not."""

    limit = 5_000

    @pytest.fixture(autouse=True)
    def _limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kept, "_KEPT_BYTES", self.limit)

    def make(self, store: FeatureStore, rows: Rows) -> BatchSource:
        streamed = StreamedFeatures(FeatureReader(store, NEEDS.features, NEEDS.targets), rows, CPU)
        source = kept.kept_where_it_fits(streamed)
        assert isinstance(source, kept.PartlyKept)
        assert (len(source.kept.rows.features) == 4) == (self.limit > 5_000)
        return source


class TestKept(TestStreamedInPart):
    limit = 1_000_000
