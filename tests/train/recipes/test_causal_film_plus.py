"""The preset `causal_film_plus`: what neither side tells by itself is found, and what is expected does not collapse."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.settings import load_settings
from weldcache.testing.recipes import RecipeContract
from weldcache.train.nn.joined_scores import JoinedScores
from weldcache.train.nn.match import Match
from weldcache.train.recipes.gaussian import GaussianRecipe, GaussianSettings
from weldcache.train.recipes.match_fusion import MatchFusionRecipe
from weldcache.train.recipes.recipe import Fitted, make_recipe
from weldcache.train.types import Batch, Shapes

FILM, SOUND, SENSORS = "video/embedding", "sound_statistics/values", "sensor_statistics/values"
PHOTOGRAPHS, PIXELS = "image/block_7/mean", "pixels/values"
PROCESS, RESULT = (FILM, SOUND, SENSORS), (PHOTOGRAPHS, PIXELS)
VIEWS, PIXEL_VIEWS = "image/block_7/views_present", "pixels/views_present"
SHAPES: Shapes = {
    FILM: (4, 7),
    SOUND: (9,),
    SENSORS: (5,),
    PHOTOGRAPHS: (2, 8),
    VIEWS: (2,),
    PIXELS: (2, 6),
    PIXEL_VIEWS: (2,),
}


def preset() -> MatchFusionRecipe:
    made = make_recipe(load_settings("causal_film_plus").recipe.for_store(SHAPES))
    assert isinstance(made, MatchFusionRecipe)
    return made


def welds(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Process and result of one cause; of unusual ones the process is another weld's, and each side by itself usual."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    cause = rng.normal(size=(num, 3))
    causes = {name: np.roll(cause, 1, axis=0) if unusual else cause for name in PROCESS}
    features = {}
    for name in PROCESS + RESULT:
        *axes, width = SHAPES[name]
        means = causes.get(name, cause) @ mixing.normal(size=(3, width))
        noise = rng.normal(size=(num, *axes, width))
        features[name] = torch.from_numpy(means.reshape(num, *[1] * len(axes), width) + 0.3 * noise).float()
    there = {name: torch.ones(num, 2, dtype=torch.uint8) for name in (VIEWS, PIXEL_VIEWS)}
    return Batch({**features, **there})


class TestCausalFilmPlus(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES

    def recipe(self) -> MatchFusionRecipe:
        return preset()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return welds(num, seed=seed, unusual=unusual)


@pytest.fixture(scope="module")
def joined() -> JoinedScores:
    recipe = preset()
    fitted = recipe.build(SHAPES)
    recipe.fit(fitted, [welds(160, seed=0)], torch.Generator().manual_seed(0))
    return fitted


def _auroc(recipe: Fitted, model: nn.Module) -> float:
    """How well broken welds are told from sound ones."""
    normal, broken = (
        recipe.predict(model, recipe.encode(model, welds(200, seed=seed, unusual=unusual), None)).score
        for seed, unusual in ((1, False), (2, True))
    )
    return float((broken.unsqueeze(1) > normal).double().mean())


def test_causal_breaks_are_found_that_no_modality_tells(joined: JoinedScores) -> None:
    assert _auroc(preset(), joined) > 0.95
    for array in PROCESS + RESULT:
        recipe = GaussianRecipe(GaussianSettings(array=array))
        alone = recipe.build(SHAPES)
        recipe.fit(alone, [welds(160, seed=0)], torch.Generator())
        assert _auroc(recipe, alone) < 0.6, array


@pytest.mark.parametrize(("place", "order"), [(0, PROCESS + RESULT), (1, RESULT + PROCESS)])
def test_what_is_expected_spreads_as_what_is_found(joined: JoinedScores, place: int, order: tuple[str, ...]) -> None:
    """Causal-FiLM's predictions keep 2 to 4 % of the spread that they began with."""
    match, arrays = joined.members[place], [welds(200, seed=1).features[name] for name in order]
    assert isinstance(match, Match)
    known, found = match.components([values.mean(dim=1) if values.ndim == 3 else values for values in arrays])
    expected = known @ match.weight + match.bias
    assert expected.var(dim=0).sum() > 0.5 * found.var(dim=0).sum()


def test_the_presets_beside_it_are_as_they_were() -> None:
    assert load_settings("demo").recipe.name == "causal_film"
    assert list(load_settings("match").recipe.members) == ["photographs", "pixels", "film", "sound", "sensors", "match"]
