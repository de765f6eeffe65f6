"""A Gaussian as a recipe: which vectors it is fitted to, and that its distances are those of scikit-learn."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.recipes.gaussian import GaussianRecipe, GaussianSettings
from weldcache.train.types import Batch, Shapes

_NO_DRAW = torch.Generator()


def _recipe(**settings: object) -> GaussianRecipe:
    return GaussianRecipe(GaussianSettings.model_validate({"array": ARRAY} | settings))


class TestMeanVectors(RecipeContract):
    shapes = SHAPES

    def recipe(self) -> GaussianRecipe:
        return _recipe()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return patches(num, seed=seed, unusual=unusual)


class TestEachVector(TestMeanVectors):
    def recipe(self) -> GaussianRecipe:
        return _recipe(vectors="each")


class TestPaddedSeries(RecipeContract):
    shapes: ClassVar[Shapes] = {"audio/tokens": (6, 8), "audio/tokens_length": ()}

    def recipe(self) -> GaussianRecipe:
        return _recipe(array="audio/tokens")

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        tokens = patches(num, seed=seed, unusual=unusual).features[ARRAY][:, 0].repeat(1, 2, 1)[:, :6]
        lengths = torch.randint(1, 7, (num,), generator=torch.Generator().manual_seed(seed), dtype=torch.int32)
        tokens[torch.arange(6) >= lengths.unsqueeze(1)] = -100.0
        return Batch({"audio/tokens": tokens, "audio/tokens_length": lengths})


def test_mean_vectors_without_padding_give_the_distances_of_scikit_learn() -> None:
    def means(rows: Batch) -> np.ndarray:
        pairs = zip(rows.features[ARRAY].double().numpy(), rows.features[VIEWS].bool().numpy(), strict=True)
        return np.stack([values[views].mean(axis=(0, 1)) for values, views in pairs])

    train, test = patches(40, seed=0), patches(6, seed=1, unusual=True)
    recipe = _recipe()
    model = recipe.build(SHAPES)
    recipe.fit(model, iter([train]), torch.Generator())
    expected = np.sqrt(LedoitWolf().fit(means(train)).mahalanobis(means(test)))
    score = recipe.predict(model, recipe.encode(model, test, None)).score
    np.testing.assert_allclose(score, expected, rtol=1e-3)


def test_a_row_of_padding_alone_has_no_finite_score() -> None:
    recipe, rows = _recipe(), patches(20, seed=0)
    for chosen in (recipe, _recipe(vectors="each")):
        model = chosen.build(SHAPES)
        chosen.fit(model, iter([rows]), torch.Generator())
        nothing = patches(2, seed=1)
        nothing.features[VIEWS][1] = 0
        score = chosen.predict(model, chosen.encode(model, nothing, None)).score
        assert score.isfinite().tolist() == [True, False]


def test_samples_that_are_all_alike_are_refused() -> None:
    recipe, rows = _recipe(), patches(1, seed=0)
    with pytest.raises(TrainingError, match="spread"):
        recipe.fit(recipe.build(SHAPES), iter([rows]), torch.Generator())


def test_an_array_of_numbers_is_refused() -> None:
    with pytest.raises(SettingsError, match="audio/tokens_length"):
        _recipe(array="audio/tokens_length").build({"audio/tokens_length": ()})


def test_advice_names_the_setting() -> None:
    assert "recipe.array" in _recipe().advice(["image/block_4"], held=["video"])


def test_numbers_of_unlike_units_are_shrunk_in_units_of_their_spread() -> None:
    units = torch.tensor([1e-3, 1.0, 1e5, 1.0, 30.0])
    train, test = (torch.from_numpy(np.random.default_rng(seed).normal(size=(30, 5))) for seed in (0, 1))

    def scores(unit: torch.Tensor, **settings: object) -> np.ndarray:
        recipe, shapes = _recipe(array="columns/values", **settings), {"columns/values": (5,)}
        model = recipe.build(shapes)
        recipe.fit(model, [Batch({"columns/values": part}) for part in (train * unit).float().split(8)], _NO_DRAW)
        found = recipe.encode(model, Batch({"columns/values": (test * unit).float()}), None)
        return recipe.predict(model, found).score.numpy()

    scaler = StandardScaler().fit(train.numpy())
    expected = LedoitWolf().fit(scaler.transform(train.numpy())).mahalanobis(scaler.transform(test.numpy())) ** 0.5
    one = torch.ones(5)
    for unit in (one, units):
        np.testing.assert_allclose(scores(unit, standardise=True), expected, rtol=1e-3)
    assert np.abs(scores(units) / scores(one) - 1).max() > 0.05
