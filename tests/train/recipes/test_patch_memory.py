"""Patch memory: which patches decide, which pictures, and that its distances are those of plain loops."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from weldcache.errors import SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.nn.nearest_neighbours import NearestNeighbours
from weldcache.train.recipes.blocks import resized
from weldcache.train.recipes.patch_memory import PatchMemoryRecipe, PatchMemorySettings
from weldcache.train.recipes.places import top_mean
from weldcache.train.types import Batch, Shapes

FINE, COARSE, SEEN = "image/block_3/patch_tokens", "image/block_5/patch_tokens", "image/block_3/views_present"
TWO_BLOCKS: Shapes = {FINE: (2, 16, 3), COARSE: (2, 4, 2), SEEN: (2,)}


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


def _two_blocks(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """The first block sees 4 x 4 places, the second 2 x 2 and numbers a thousand times as large; what is unusual is so
    in the second alone."""
    rng = np.random.default_rng(seed)
    fine, coarse = rng.normal(size=(num, 2, 16, 3)), 1000 * rng.normal(size=(num, 2, 4, 2))
    if unusual:
        coarse += 6000
    there = np.column_stack([np.ones(num), rng.integers(0, 2, size=num)]).astype(np.uint8)
    return Batch(
        {FINE: torch.from_numpy(fine).float(), COARSE: torch.from_numpy(coarse).float(), SEEN: torch.from_numpy(there)}
    )


class TestTwoBlocks(RecipeContract):
    shapes: ClassVar[Shapes] = TWO_BLOCKS

    def recipe(self) -> PatchMemoryRecipe:
        return _recipe(array=FINE, beside=[COARSE])

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return _two_blocks(num, seed=seed, unusual=unusual)


class TestTwoBlocksByAngle(TestTwoBlocks):
    def recipe(self) -> PatchMemoryRecipe:
        return _recipe(array=FINE, beside=[COARSE], metric="cosine", subset="coreset", bank=200, candidates=400)


def test_blocks_side_by_side_are_worth_the_same_and_resized_to_the_first_grid() -> None:
    """A known answer: two even pictures to learn from, and one that is like the second in the fine block, and in the
    coarse one in a corner only."""
    recipe = _recipe(array=FINE, beside=[COARSE], top_percent=100)
    fine, coarse = torch.zeros(2, 1, 16, 3), torch.zeros(2, 1, 4, 2)
    fine[1], coarse[1] = 2.0, 2000.0  # variances 3 * 1 and 2 * 1000**2
    train = Batch({FINE: fine, COARSE: coarse, SEEN: torch.ones(2, 1, dtype=torch.uint8)})
    model = recipe.build({FINE: (1, 16, 3), COARSE: (1, 4, 2), SEEN: (1,)})
    recipe.fit(model, [train], torch.Generator().manual_seed(0))
    test = Batch(
        {FINE: torch.full((1, 1, 16, 3), 2.0), COARSE: torch.zeros(1, 1, 4, 2), SEEN: train.features[SEEN][:1]}
    )
    test.features[COARSE][0, 0, 3] = 2000.0  # the lower right quarter
    distances = recipe.predict(model, recipe.encode(model, test, None)).maps["distance"].reshape(4, 4)
    # From the second picture, in units of the coarse block's spread: 0 instead of 2000 in both of its numbers. The
    # first is as far where the coarse block is 0, as the fine one's three numbers are 2 off, and further elsewhere.
    apart = 2000 * 2**0.5 / (1000 * 2**0.5)
    assert distances[0, 0] == pytest.approx(apart, rel=1e-5) and distances[3, 3] == pytest.approx(0, abs=1e-5)
    weights = np.array([0.0, 0.25, 0.75, 1.0])  # bilinear, from the centres of 2 places to those of 4
    np.testing.assert_allclose(distances, apart * (1 - np.outer(weights, weights)), rtol=1e-4, atol=1e-5)


def test_a_finer_map_is_averaged_down() -> None:
    fine = torch.arange(16.0).reshape(1, 1, 16, 1)
    seen = resized(fine, side=2).reshape(2, 2)
    assert (seen.diff(dim=0) > 0).all() and (seen.diff(dim=1) > 0).all() and seen.mean() == pytest.approx(7.5)
    assert torch.equal(resized(fine, side=4), fine)


@pytest.mark.parametrize(
    "shapes",
    [
        {COARSE: (2, 5, 2)},  # no grid
        {COARSE: (3, 4, 2)},  # other views
        {COARSE: (4, 2)},
        {FINE: (16, 3), COARSE: (4, 2)},  # steps, which are no grid whatever their number
    ],
)
def test_what_has_no_grid_of_the_same_pictures_cannot_stand_beside(shapes: Shapes) -> None:
    with pytest.raises(SettingsError, match=r"recipe\.beside"):
        _recipe(array=FINE, beside=[COARSE]).build({**TWO_BLOCKS, **shapes})
    with pytest.raises(SettingsError, match=r"recipe\.beside"):
        _recipe(array=FINE, beside=[FINE]).build(TWO_BLOCKS)


def test_blocks_are_one_modality_and_the_deepest_is_found() -> None:
    settings = PatchMemorySettings.model_validate({"array": FINE, "beside": ["image/last/patch_tokens"]})
    needs = PatchMemoryRecipe(settings.for_store([FINE, COARSE])).needs()
    assert needs.modalities == {"image": ("image/block_3", "image/block_5")}
    assert COARSE in [request.name for request in needs.features]


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
