"""What is said of training samples: values that alone decide a channel's scale, and modalities that few have."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.linear_probe import LinearProbeRecipe, LinearProbeSettings
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.training_caveats import training_caveats

TRAIN = np.arange(37)
WriteRows = Callable[..., None]


@pytest.fixture
def recipe() -> Recipe:
    return CausalFilmRecipe(CausalFilmSettings(blocks=(2, 6)))


@pytest.fixture
def write_sensors(toy_store: FeatureStore, write_features: WriteRows) -> Callable[[Mapping[int, float]], None]:
    """Put one value each into the fourth channel of some rows."""

    def write(glitches: Mapping[int, float]) -> None:
        rows = list(glitches)
        values = np.array(toy_store.read("sensor/values", rows), dtype=np.float64)
        values[:, 4, 3] = list(glitches.values())
        write_features(toy_store, "sensor", rows, {"values": values})

    return write


def test_a_glitch_names_channel_and_sample(
    toy_store: FeatureStore, recipe: Recipe, write_sensors: Callable[[Mapping[int, float]], None]
) -> None:
    assert training_caveats(toy_store, TRAIN, recipe=recipe, untrained=()) == ()
    write_sensors({5: 1e30})
    (text,) = training_caveats(toy_store, TRAIN, recipe=recipe, untrained=())
    assert "channel 3 reaches 1e+30 in 1 sample" in text and "(day/005)" in text
    write_sensors({9: -1e9})  # nothing beside the other one, and yet a glitch
    (text,) = training_caveats(toy_store, TRAIN[6:], recipe=recipe, untrained=())
    assert "reaches -1e+09" in text and "(day/009)" in text


def test_other_set_points_and_spikes_of_honest_size_are_no_glitch(
    toy_store: FeatureStore, recipe: Recipe, write_sensors: Callable[[Mapping[int, float]], None]
) -> None:
    write_sensors({3: 5_000.0, 4: -2_000.0, 8: 0.0})
    assert training_caveats(toy_store, TRAIN, recipe=recipe, untrained=()) == ()


def test_classes_that_training_lacks_are_named(shared_store: FeatureStore) -> None:
    probe = LinearProbeRecipe(LinearProbeSettings(array="video/tokens"))
    (text,) = training_caveats(shared_store, TRAIN, recipe=probe, untrained=())
    assert "class broken_link" in text and "weldcache split" in text
    assert training_caveats(shared_store, np.arange(40), recipe=probe, untrained=()) == ()


def test_a_modality_that_few_have_is_counted(toy_store: FeatureStore, recipe: Recipe) -> None:
    for row in range(3, 37):
        StoreWriter(toy_store).report("audio", row, Status.ABSENT, reason="no file")
    (text,) = training_caveats(toy_store, TRAIN, recipe=recipe, untrained=())
    assert text.startswith("Only 3 of the 37 samples to train on have audio")
