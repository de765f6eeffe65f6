"""Patch memory: which patches decide, which pictures, and that its distances are those of plain loops."""

import numpy as np
import pytest
import torch

from weldcache.errors import SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.nn.nearest_neighbours import NearestNeighbours
from weldcache.train.recipes.patch_memory import PatchMemoryRecipe, PatchMemorySettings, top_mean
from weldcache.train.types import Batch


def _recipe(**settings: object) -> PatchMemoryRecipe:
    return PatchMemoryRecipe(PatchMemorySettings.model_validate({"array": ARRAY, "top_percent": 40.0} | settings))


def _fitted(recipe: PatchMemoryRecipe, rows: Batch) -> NearestNeighbours:
    model = recipe.build(SHAPES)
    assert isinstance(model, NearestNeighbours)
    recipe.fit(model, [rows], torch.Generator().manual_seed(0))
    return model


class TestRandom(RecipeContract):
    shapes = SHAPES

    def recipe(self) -> PatchMemoryRecipe:
        return _recipe()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return patches(num, seed=seed, unusual=unusual)


class TestCoreset(TestRandom):
    def recipe(self) -> PatchMemoryRecipe:
        return _recipe(subset="coreset", bank=100, candidates=300, metric="cosine", views="mean")


@pytest.mark.parametrize("views", ["max", "mean"])
def test_scores_are_those_of_plain_loops(views: str) -> None:
    train, test = patches(30, seed=0), patches(8, seed=1, unusual=True)
    recipe = _recipe(views=views)
    model = _fitted(recipe, train)
    prediction = recipe.predict(model, recipe.encode(model, test, None))
    bank = train.features[ARRAY][train.features[VIEWS].bool()].flatten(0, 1).double().numpy()
    distances = prediction.maps["distance"].numpy()
    for row, (tokens, there) in enumerate(zip(test.features[ARRAY], test.features[VIEWS].bool(), strict=True)):
        pictures = []
        for view in range(3):
            if not there[view]:
                assert np.isnan(distances[row, view]).all()
                continue
            nearest = [np.linalg.norm(bank - patch, axis=1).min() for patch in tokens[view].double().numpy()]
            np.testing.assert_allclose(distances[row, view], nearest, rtol=1e-3)
            pictures.append(np.mean(sorted(nearest)[-2:]))  # 40 % of 5
        expected = np.max(pictures) if views == "max" else np.mean(pictures)
        expected = np.max(pictures) if views == "max" else np.mean(pictures)
        assert prediction.score[row] == pytest.approx(expected, rel=1e-3)


def test_a_coreset_is_within_its_bound_and_keeps_what_is_rare(capsys: pytest.CaptureFixture[str]) -> None:
    rows = patches(100, seed=0)
    rows.features[ARRAY][7, 0, 2] = 50.0  # one patch of the 1,500 and more, which is normal
    recipe = _recipe(subset="coreset", bank=20)
    model = _fitted(recipe, rows)
    assert len(model.bank) == 20
    assert "holds 20 of" in capsys.readouterr().err
    distances = recipe.predict(model, recipe.encode(model, rows, None)).maps["distance"]
    assert distances[7, 0, 2] == pytest.approx(0, abs=1e-2)
    assert distances[~distances.isnan()].max() < 2


def test_the_strangest_part_is_one_value_at_least_and_padding_never_counts() -> None:
    values = torch.tensor([[1.0, 4.0, 3.0, 2.0], [1.0, 4.0, 9.0, 9.0], [7.0, 7.0, 7.0, 7.0]])
    real = torch.tensor([[True] * 4, [True, True, False, False], [False] * 4])
    for percent, expected in ((1.0, [4.0, 4.0]), (50.0, [3.5, 4.0]), (100.0, [2.5, 2.5])):
        found = top_mean(values, real, percent=percent)
        assert found[:2].tolist() == expected and found[2].isnan()


def test_a_row_of_padding_alone_has_no_score() -> None:
    nothing = patches(2, seed=1)
    nothing.features[VIEWS][1] = 0
    for views in ("max", "mean"):
        recipe = _recipe(views=views)
        score = recipe.predict(model := _fitted(recipe, patches(20, seed=0)), recipe.encode(model, nothing, None)).score
        assert score.isfinite().tolist() == [True, False]


def test_one_vector_a_sample_is_refused() -> None:
    with pytest.raises(SettingsError, match="video/embedding"):
        _recipe(array="video/embedding").build({"video/embedding": (8,)})
