"""k nearest neighbours as a recipe: which vectors it compares, what padding does, and how large its bank grows."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, patches
from weldcache.train.nn.nearest_neighbours import NearestNeighbours
from weldcache.train.recipes.nearest import NearestRecipe, NearestSettings
from weldcache.train.types import Batch


def _recipe(**settings: object) -> NearestRecipe:
    return NearestRecipe(NearestSettings.model_validate({"array": ARRAY} | settings))


def _fitted(recipe: NearestRecipe, rows: Batch, *, seed: int = 0) -> NearestNeighbours:
    model = recipe.build(SHAPES)
    assert isinstance(model, NearestNeighbours)
    recipe.fit(model, iter([rows]), torch.Generator().manual_seed(seed))
    return model


class TestMeanVectors(RecipeContract):
    shapes = SHAPES

    def recipe(self) -> NearestRecipe:
        return _recipe(k=3)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return patches(num, seed=seed, unusual=unusual)


class TestEachVector(TestMeanVectors):
    def recipe(self) -> NearestRecipe:
        return _recipe(vectors="each", metric="l2", bank=500)


class TestByDensity(TestMeanVectors):
    def recipe(self) -> NearestRecipe:
        return _recipe(density_neighbours=4, metric="l2")


def test_scores_of_every_patch_are_those_of_scikit_learn() -> None:
    train, test = patches(20, seed=0), patches(6, seed=1, unusual=True)
    recipe = _recipe(vectors="each", metric="l2", k=2)
    model = _fitted(recipe, train)
    prediction = recipe.predict(model, recipe.encode(model, test, None))

    real = train.features["image/block_4/views_present"].bool().numpy()
    bank = train.features[ARRAY].float().numpy()[real].reshape(-1, 8)
    finder = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(bank)
    for row in range(6):
        seen = test.features["image/block_4/views_present"][row].bool()
        views = test.features[ARRAY][row].float()
        expected = [finder.kneighbors(view.numpy())[0].mean(axis=1) for view in views[seen]]
        assert prediction.score[row].item() == pytest.approx(np.max(expected), rel=1e-4)
        distances = prediction.maps["distance"][row]
        np.testing.assert_allclose(distances[seen], np.stack(expected), rtol=1e-4)
        assert distances[~seen].isnan().all()
    assert prediction.maps["distance"].shape == (6, 3, 5)


def test_one_vector_a_sample_has_no_map() -> None:
    recipe, rows = _recipe(), patches(9, seed=0)
    model = _fitted(recipe, rows)
    prediction = recipe.predict(model, recipe.encode(model, rows, None))
    assert prediction.maps == {}
    assert prediction.score.abs().max() < 1e-6  # each is in the bank itself


def test_a_bank_that_would_be_too_large_is_drawn_with_the_seed_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    recipe, rows = _recipe(vectors="each", bank=30), patches(20, seed=0)
    banks = [_fitted(recipe, rows, seed=seed).bank for seed in (1, 1, 2)]
    assert [len(bank) for bank in banks] == [30, 30, 30]
    assert torch.equal(banks[0], banks[1]) and not torch.equal(banks[0], banks[2])
    num = int(rows.features["image/block_4/views_present"].sum()) * 5
    assert f"30 of {num}" in capsys.readouterr().err


def test_a_bank_within_its_limit_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(_fitted(_recipe(), patches(20, seed=0)).bank) == 20
    assert capsys.readouterr().err == ""


def test_more_neighbours_than_vectors_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"recipe\.k = 5"):
        _fitted(_recipe(k=5), patches(4, seed=0))


def test_a_vector_that_is_not_finite_is_refused() -> None:
    rows = patches(4, seed=0)
    rows.features[ARRAY][1, 0, 0, 0] = torch.inf
    with pytest.raises(TrainingError, match=ARRAY):
        _fitted(_recipe(), rows)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_by_density_a_distance_is_in_units_of_that_vector_s_own(metric: str) -> None:
    train, test = patches(30, seed=0), patches(6, seed=1, unusual=True)
    recipe, plain = _recipe(density_neighbours=3, metric=metric, k=2), _recipe(metric=metric)
    model = _fitted(recipe, train)
    bank, queries = (plain.vectors(rows)[0].double().numpy() for rows in (train, test))
    theirs = "euclidean" if metric == "l2" else "cosine"
    finder = NearestNeighbors(n_neighbors=3, metric=theirs, algorithm="brute").fit(bank)
    units = finder.kneighbors()[0].mean(axis=1)  # of each among the others
    every = NearestNeighbors(n_neighbors=30, metric=theirs, algorithm="brute").fit(bank)
    distances, places = every.kneighbors(queries)
    expected = np.sort(distances / units[places], axis=1)[:, :2].mean(axis=1)
    np.testing.assert_allclose(recipe.predict(model, recipe.encode(model, test, None)).score, expected, rtol=1e-3)


def test_densities_that_are_not_there_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"recipe\.density_neighbours = 4"):
        _fitted(_recipe(density_neighbours=4), patches(4, seed=0))
    rows = patches(4, seed=0)
    rows.features[ARRAY][:] = 1.0
    with pytest.raises(TrainingError, match="equal"):
        _fitted(_recipe(density_neighbours=2), rows)
