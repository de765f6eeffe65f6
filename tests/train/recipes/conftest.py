"""Causal-FiLM on the toy store: ten rows of it, and the recipe with its module."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.train.data.features import FeatureReader, load_constants, shapes_for
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm, film_features
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.types import Batch

_SHAPE = {"d_model": 16, "hidden_width": 24, "sensor_hidden": 8, "blocks": (2, 6)}


@pytest.fixture
def film_store(toy_store_path: Path) -> FeatureStore:
    """The toy store, which no test here may change."""
    return FeatureStore.open(toy_store_path)


@pytest.fixture
def film_batch(film_store: FeatureStore) -> Batch:
    """The first ten rows of all that a Causal-FiLM of blocks 2 and 6 asks for; they have every modality."""
    features = film_features(CausalFilmSettings.model_validate(_SHAPE))
    return FeatureReader(film_store, features.requests()).read(np.arange(10))


@pytest.fixture
def make_film(
    film_store: FeatureStore, film_batch: Batch
) -> Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]:
    """A recipe and its module, its buffers measured, in evaluation mode, with a FiLM that has left the identity.

    `changes` replaces settings of the recipe, keywords those of its loss.
    """

    def make(changes: Mapping[str, object] = {}, **loss: object) -> tuple[CausalFilmRecipe, StandardisedCausalFilm]:
        recipe = CausalFilmRecipe(CausalFilmSettings.model_validate(_SHAPE | dict(changes) | {"loss": loss}))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            film = recipe.build(shapes_for(film_store, recipe))
        if film.film.sensor_modulator is not None:
            torch.nn.init.normal_(film.film.sensor_modulator.head.weight, std=0.1, generator=torch.Generator())
        recipe.measure(film, [film_batch], load_constants(film_store, recipe))
        return recipe, film.eval()

    return make
