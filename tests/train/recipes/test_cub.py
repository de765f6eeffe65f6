"""Recipes for photographs with attributes: the original's size, what each learns from, and what it never sees."""

from typing import Any, ClassVar

import pytest
import torch
from torch import nn
from transformers import ResNetConfig, ResNetModel

from weldcache.errors import SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.recipes.attributes import UNSEEN, as_input, attribute_loss
from weldcache.train.recipes.cub_bottleneck import CubBottleneckRecipe, CubBottleneckSettings
from weldcache.train.recipes.cub_fusion import CubFusionRecipe, CubFusionSettings
from weldcache.train.recipes.linear_probe import LinearProbeRecipe, LinearProbeSettings
from weldcache.train.types import Batch, Shapes

IMAGE, ORACLE = "image/block_1/mean", "oracle_attributes/values"
ATTRIBUTES = 6
SHAPES: Shapes = {IMAGE: (4,), ORACLE: (ATTRIBUTES,), "classes/class": (2,), "targets/attributes": (ATTRIBUTES,)}
FULL: Shapes = {
    **{IMAGE: (2048,), ORACLE: (312,), "targets/attributes": (312,)},
    "classes/class": (200,),
}


def rows_of(num: int, *, seed: int, unusual: bool, arrays: tuple[str, ...]) -> Batch:
    """Two classes, of which each channel and attribute tells. Unusual rows look like neither; one row of eight does,
    too, and is of either."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.arange(num)
    classes, neither = row % 2, (row % 8 == 7) | unusual
    classes = torch.where(neither, row // 8 % 2, classes)
    side = (2.0 * classes - 1).unsqueeze(1)
    told = torch.where(neither.unsqueeze(1), torch.tensor([1.0, -1.0]).repeat(ATTRIBUTES), side)
    image = 2 * told[:, :4] + 0.05 * torch.randn((num, 4), generator=generator)
    attributes = (told[:, :ATTRIBUTES] > 0).to(torch.int64)
    attributes = torch.where(torch.rand((num, ATTRIBUTES), generator=generator) < 0.2, -1, attributes)
    oracle = 0.5 + 0.5 * told[:, :ATTRIBUTES] + 0.01 * torch.randn((num, ATTRIBUTES), generator=generator)
    held = {IMAGE: image.half(), ORACLE: oracle}
    return Batch({name: held[name] for name in arrays}, targets={"class": classes, "attributes": attributes})


def fusion(**settings: object) -> CubFusionRecipe:
    return CubFusionRecipe(CubFusionSettings.model_validate({"image": IMAGE, **settings}))


def bottleneck(**settings: object) -> CubBottleneckRecipe:
    return CubBottleneckRecipe(CubBottleneckSettings.model_validate({"array": IMAGE, **settings}))


class TestFusion(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES
    arrays: ClassVar[tuple[str, ...]] = (IMAGE,)
    steps, lr = 50, 1e-3

    def recipe(self) -> CubFusionRecipe:
        return fusion()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return rows_of(num, seed=seed, unusual=unusual, arrays=self.arrays)


class TestOracle(TestFusion):
    arrays: ClassVar[tuple[str, ...]] = (IMAGE, ORACLE)

    def recipe(self) -> CubFusionRecipe:
        return fusion(attributes=ORACLE)


class TestBottleneck(TestFusion):
    steps, lr = 60, 1e-2

    def recipe(self) -> Any:
        return bottleneck()


def num_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_original_has_as_many_parameters_as_were_recorded() -> None:
    heads = num_parameters(fusion(attributes=ORACLE).build(FULL))
    with torch.device("meta"):
        backbone = num_parameters(ResNetModel(ResNetConfig()))
    assert heads == 2_709_449
    assert backbone == 23_508_032
    assert heads + backbone == 26_217_481
    predicting = num_parameters(fusion().build(FULL))
    assert predicting == heads + 2048 * 312 + 312


@pytest.mark.parametrize(
    ("settings", "lacks", "reads"),
    [
        ({"inputs": "image"}, {"attributes", "gate", "predictor"}, {"image/block_1"}),
        ({"inputs": "attributes"}, {"image", "gate"}, {"image/block_1"}),
        ({"inputs": "attributes", "attributes": ORACLE}, {"image", "gate", "predictor"}, {"oracle_attributes"}),
        ({"gate": False}, {"gate"}, {"image/block_1"}),
        ({"attributes": ORACLE}, {"predictor"}, {"image/block_1", "oracle_attributes"}),
    ],
)
def test_ablations_build_and_read_nothing_that_they_do_not_use(
    settings: dict[str, Any], lacks: set[str], reads: set[str]
) -> None:
    recipe = fusion(**settings)
    model = recipe.build(SHAPES)
    assert set(dict(model.named_children())) == {
        *{"predictor", "image", "attributes", "gate", "fusion", "classes"} - lacks
    }
    assert set(recipe.needs().feature_sets) == reads
    held = tuple(name for name in (IMAGE, ORACLE) if name.rpartition("/")[0] in reads)
    batch = rows_of(8, seed=0, unusual=False, arrays=held)
    assert recipe.encode(model, batch.inputs(), None)["logits"].shape == (8, 2)


def gradients(recipe: Any, model: nn.Module, batch: Batch) -> dict[str, bool]:
    """Which parts of a model the loss moves."""
    model.zero_grad()
    recipe.loss(model, recipe.encode(model, batch.inputs(), None), batch.targets).total.backward()
    return {
        name: any(each.grad is not None and bool(each.grad.any()) for each in part.parameters())
        for name, part in model.named_children()
        if list(part.parameters())
    }


def test_every_part_is_moved_by_the_loss() -> None:
    batch = rows_of(16, seed=0, unusual=False, arrays=(IMAGE, ORACLE))
    for recipe in (fusion(), fusion(attributes=ORACLE), bottleneck(), bottleneck(hidden=[8])):
        parts = gradients(recipe, recipe.build(SHAPES), batch)
        assert parts and all(parts.values()), parts


@pytest.mark.parametrize("training", ["independent", "sequential", "joint"])
def test_what_the_class_teaches_the_attributes_is_what_training_says(training: str) -> None:
    recipe, batch = bottleneck(training=training), rows_of(16, seed=0, unusual=False, arrays=(IMAGE,))
    unknown = Batch(batch.features, targets={**batch.targets, "attributes": torch.full((16, ATTRIBUTES), -1)})
    moved = gradients(recipe, recipe.build(SHAPES), unknown)  # by the class alone: no attribute is known
    assert moved["attributes"] is (training == "joint")


def test_a_bottleneck_predicts_by_its_own_attributes_alone() -> None:
    recipe, batch = bottleneck(training="independent"), rows_of(16, seed=0, unusual=False, arrays=(IMAGE,))
    model = recipe.build(SHAPES)
    encodings = recipe.encode(model, batch.inputs(), None)
    found = recipe.predict(model, encodings)
    expected = model.classify(encodings["attributes"].sigmoid())
    assert torch.equal(found.outputs["logits"], expected)
    assert found.outputs["attributes"].shape == (16, ATTRIBUTES)


def test_what_is_not_known_of_attributes_teaches_nothing() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    told = torch.tensor([[1, 0, -1, -1], [0, -1, 1, 1], [-1, -1, -1, -1]])
    known = told >= 0
    expected = nn.functional.binary_cross_entropy_with_logits(logits[known], told[known].float())
    torch.testing.assert_close(attribute_loss(logits, told), expected)
    shares = told.float().masked_fill(~known, torch.nan)
    torch.testing.assert_close(attribute_loss(logits, shares), expected)
    assert attribute_loss(logits, torch.full((3, 4), -1)) == 0
    assert as_input(told)[~known].eq(UNSEEN).all() and as_input(shares)[known].equal(told[known].float())


def test_a_target_of_one_value_is_no_attributes() -> None:
    with pytest.raises(SettingsError, match=r"label.*recipe\.target"):
        bottleneck(target="label").build(SHAPES)


def test_hidden_layers_make_a_perceptron_of_the_probe() -> None:
    settings = LinearProbeSettings.model_validate({"array": IMAGE, "hidden": [16, 8]})
    recipe, batch = LinearProbeRecipe(settings), rows_of(8, seed=0, unusual=False, arrays=(IMAGE,))
    model = recipe.build(SHAPES)
    assert num_parameters(model) == (4 + 1) * 16 + (16 + 1) * 8 + (8 + 1) * 2
    recipe.measure(model, [batch.only(recipe.needs().measures)], {})
    assert recipe.encode(model.eval(), batch.inputs(), None)["logits"].shape == (8, 2)
