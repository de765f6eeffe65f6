"""Scores by place: a recipe's own maps under the array's name, or what each place adds to a score."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.attribution import place_scores
from weldcache.train.recipes.nearest import NearestRecipe, NearestSettings
from weldcache.train.types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes


@dataclass(frozen=True)
class Weighted:
    """A recipe whose score is a weighted sum of all numbers."""

    def needs(self) -> Needs:
        return Needs((FeatureRequest(*ARRAY.rsplit("/", 1)),))

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        return ""

    def build(self, shapes: Shapes) -> nn.Module:
        return nn.Linear(8, 1, bias=False)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        return {"weighted": model(batch.features[ARRAY].float()).squeeze(-1)}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return Prediction(encodings["weighted"].flatten(1).sum(dim=1))


def test_what_places_add_to_a_sum_adds_up_to_it() -> None:
    recipe, rows = Weighted(), patches(4, seed=0)
    model = recipe.build(SHAPES).eval()
    found = place_scores(recipe, model, rows, arrays=[ARRAY], precision="float32")[ARRAY]
    assert found.shape == (4, 3, 5) and not found.requires_grad
    score = recipe.predict(model, recipe.encode(model, rows, None)).score
    torch.testing.assert_close(found.flatten(1).sum(dim=1), score.detach(), rtol=1e-4, atol=1e-3)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_map_of_the_recipe_itself_comes_first_and_has_the_name_of_its_array() -> None:
    recipe = NearestRecipe(NearestSettings(array=ARRAY, vectors="each"))
    model, rows = recipe.build(SHAPES), patches(6, seed=1)
    recipe.fit(model, [patches(20, seed=0)], torch.Generator().manual_seed(0))
    found = place_scores(recipe, model.eval(), rows, arrays=[ARRAY], precision="float32")
    expected: Tensor = recipe.predict(model, recipe.encode(model, rows, None)).maps["distance"]
    torch.testing.assert_close(found[ARRAY], expected, equal_nan=True)
    assert bool(found[ARRAY].isnan().any()) == bool((rows.features[VIEWS] == 0).any())


def test_arrays_that_a_score_does_not_come_from_have_none() -> None:
    recipe, rows = Weighted(), patches(3, seed=0)
    assert place_scores(recipe, recipe.build(SHAPES).eval(), rows, arrays=[], precision="float32") == {}
    others = Batch({**rows.features, "other/tokens": torch.ones(3, 4, 2)})
    found = place_scores(
        recipe, recipe.build(SHAPES).eval(), others, arrays=[ARRAY, "other/tokens"], precision="float32"
    )
    assert found.keys() == {ARRAY}
