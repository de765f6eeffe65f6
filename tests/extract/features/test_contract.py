"""Our kinds of features on the tiny synthetic data set, with its demo backbones; and numbers of a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from weldcache.extract.features.kind import Encoder
from weldcache.extract.features.settings import (
    PixelsSettings,
    SeriesStatisticsSettings,
    SoundStatisticsSettings,
    VectorSettings,
)
from weldcache.extract.features.vector import VectorEncoder
from weldcache.extract.request import load_features
from weldcache.extract.settings import FeatureSettings
from weldcache.extract.sources.open import open_source
from weldcache.extract.sources.source import Sample
from weldcache.settings import load_settings
from weldcache.testing.features import FeatureKindContract


class OfTheDataSet(FeatureKindContract):
    name: ClassVar[str]

    @pytest.fixture
    def root(self, extracted: Path) -> Path:
        return extracted  # where the demo's backbones are already

    def encoder(self, root: Path) -> Encoder:
        settings = load_settings(folder=root)
        return load_features(settings, [self.name], open_source(settings.data)).encoders[self.name]

    def samples(self, root: Path) -> Sequence[Sample]:
        return open_source(load_settings(folder=root).data).samples()[:2]


class TestFilm(OfTheDataSet):
    name = "video"


class TestSound(OfTheDataSet):
    name = "audio"


class TestPhotographs(OfTheDataSet):
    name = "image"


class TestFrames(OfTheDataSet):
    name = "frames"


class TestSeries(OfTheDataSet):
    name = "sensor"


class WithoutABackbone(OfTheDataSet):
    kind: ClassVar[FeatureSettings]

    def encoder(self, root: Path) -> Encoder:
        settings = load_settings(folder=root)
        named = settings.model_copy(update={"features": {**settings.features, self.name: self.kind}})
        return load_features(named, [self.name], open_source(settings.data)).encoders[self.name]


class TestPixels(WithoutABackbone):
    name, kind = "pixels", PixelsSettings()


class TestSoundStatistics(WithoutABackbone):
    name, kind = "sound_statistics", SoundStatisticsSettings()


class TestSeriesStatistics(WithoutABackbone):
    name, kind = "sensor_statistics", SeriesStatisticsSettings()


class TestVector(FeatureKindContract):
    def encoder(self, root: Path) -> Encoder:
        return VectorEncoder("columns", VectorSettings(size=3))

    def samples(self, root: Path) -> Sequence[Sample]:
        return [
            Sample(key=key, split="train", group=key, files={}, vectors={"vector": numbers})
            for key, numbers in (("a", (1.0, 2.0, 3.0)), ("b", (0.5, -1.0, 1e9)))
        ]
