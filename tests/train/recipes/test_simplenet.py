"""SimpleNet: its loss by hand, what noise is in training and in validation, and the contract."""

import pytest
import torch

from weldcache.testing.recipes import RecipeContract
from weldcache.tests.train.recipes.vectors import ARRAY, SHAPES, VIEWS, patches
from weldcache.train.recipes.simplenet import SimpleNet, SimpleNetRecipe, SimpleNetSettings
from weldcache.train.types import Batch


def _recipe(**settings: object) -> SimpleNetRecipe:
    chosen = {"array": ARRAY, "hidden": 16, "places": 8, "noise": 0.5, "top_percent": 40.0}
    return SimpleNetRecipe(SimpleNetSettings.model_validate(chosen | settings))


class TestSimpleNet(RecipeContract):
    shapes = SHAPES
    steps = 150
    vectors = "each"

    def recipe(self) -> SimpleNetRecipe:
        return _recipe(vectors=self.vectors)

    def stacked(self) -> tuple[SimpleNetRecipe, SimpleNetRecipe]:
        return self.recipe(), _recipe(vectors=self.vectors, noise=0.1)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return patches(num, seed=seed, unusual=unusual)


class TestPooled(TestSimpleNet):
    vectors = "mean"


def _measured(recipe: SimpleNetRecipe, rows: Batch) -> SimpleNet:
    torch.manual_seed(0)
    model = recipe.build(SHAPES)
    recipe.measure(model, [rows], {})
    return model


def test_the_loss_is_what_both_miss_of_the_margin_where_there_are_patches() -> None:
    recipe, rows = _recipe(), patches(6, seed=1)
    encodings = recipe.encode(_measured(recipe, rows), rows, None)
    real = rows.features[VIEWS].bool().unsqueeze(-1).expand(6, 3, 5)
    assert torch.equal(encodings["real"], real)
    usual = [max(0.0, 0.5 - value) for value in encodings["usual"][real].tolist()]
    noisy = [max(0.0, 0.5 + value) for value in encodings["noisy"][real].tolist()]
    expected = sum(usual) / len(usual) + sum(noisy) / len(noisy)
    assert recipe.loss(SimpleNet(8, hidden=2, noise=0.5), encodings, {}).total.item() == pytest.approx(
        expected, rel=1e-5
    )


def test_layers_by_hand() -> None:
    torch.manual_seed(0)
    model, vectors, noise = SimpleNet(4, hidden=3, noise=0.5), torch.randn(5, 4), torch.randn(5, 4)
    adapted = vectors @ model.adaptor.weight.T + model.adaptor.bias
    first, norm, _, last = model.discriminator
    for values, found in zip((adapted, adapted + 0.5 * noise), model(vectors, noise), strict=True):
        hidden = torch.nn.functional.layer_norm(values @ first.weight.T + first.bias, (3,), norm.weight, norm.bias)
        expected = torch.where(hidden > 0, hidden, 0.2 * hidden) @ last.weight[0]
        torch.testing.assert_close(found, expected)


def test_noise_is_drawn_in_training_and_the_same_in_validation() -> None:
    recipe, rows = _recipe(places=None), patches(6, seed=1)
    model = _measured(recipe, rows)
    first, second = (recipe.encode(model, rows, None) for _ in range(2))
    assert torch.equal(first["noisy"], second["noisy"])
    generator = torch.Generator().manual_seed(1)
    drawn = [recipe.encode(model, rows, generator)["noisy"] for _ in range(2)]
    assert not torch.equal(*drawn)
    assert recipe.encode(model, rows, generator)["usual"].shape == (6, 15)
    assert _recipe(places=4).encode(model, rows, generator)["usual"].shape == (6, 4)
