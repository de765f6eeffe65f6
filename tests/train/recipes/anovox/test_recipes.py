"""The recipes of driving scenes: the original's size, what padding does, and what each loss takes."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from weldcache.errors import SettingsError, TrainingError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.recipes.anovox.learning import Ratio, binary_loss
from weldcache.train.recipes.anovox.networks import OriginalSceneNetwork
from weldcache.train.recipes.anovox.pointwise import POINT_SCORES, AnoVoxMilRecipe, AnoVoxPointRecipe
from weldcache.train.recipes.anovox.scene import AnoVoxSceneRecipe
from weldcache.train.recipes.anovox.settings import AnoVoxMilSettings, AnoVoxPointSettings, AnoVoxSceneSettings
from weldcache.train.types import Batch, Shapes

NUM_POINTS, NUM_REAL, STRANGE = 24, 18, 3
IMAGE = "image/block_2/patch_tokens"


def scenes(num: int, *, seed: int, unusual: bool, image: bool = False, padding: int = 0) -> Batch:
    """Rows of points, of which a few are bright and low in unusual ones; those to train on (seed 0) are of both."""
    rng = np.random.default_rng(seed)
    labels = np.arange(num) % 2 if seed == 0 else np.full(num, int(unusual))
    points = rng.normal(size=(num, NUM_POINTS, 4)).astype(np.float32)
    points[..., 3] = rng.uniform(0, 0.5, size=(num, NUM_POINTS))
    point_labels = np.zeros((num, NUM_POINTS), np.int32)
    for row in np.flatnonzero(labels):
        chosen = rng.choice(NUM_REAL, STRANGE, replace=False)
        points[row, chosen, 2:] = (-1.5, 1.5)
        point_labels[row, chosen] = 1
    points[:, NUM_REAL:] = np.nan
    point_labels[:, NUM_REAL:] = -1
    more = np.full((num, padding, 4), np.nan, np.float32)
    features = {
        "points/points": torch.from_numpy(np.concatenate([points, more], axis=1)),
        "points/points_length": torch.full((num,), NUM_REAL, dtype=torch.int32),
    }
    if image:
        tokens = rng.normal(size=(num, 1, 9, 8)).astype(np.float32)
        tokens[np.flatnonzero(labels), 0, 4, :3] += 6
        features[IMAGE] = torch.from_numpy(tokens).half()
        features["image/block_2/views_present"] = torch.ones(num, 1, dtype=torch.uint8)
    targets = {"label": torch.from_numpy(labels), "points/labels": torch.from_numpy(point_labels)}
    return Batch(features, {}, targets)


POINT_SHAPES: Shapes = {"points/points": (NUM_POINTS, 4), "points/points_length": ()}
IMAGE_SHAPES: Shapes = {IMAGE: (1, 9, 8), "image/block_2/views_present": (1,)}


class TestScene(RecipeContract):
    shapes: ClassVar[Shapes] = {**POINT_SHAPES, **IMAGE_SHAPES}

    steps = 30

    def recipe(self) -> AnoVoxSceneRecipe:
        return AnoVoxSceneRecipe(AnoVoxSceneSettings(image=IMAGE, width=16, num_heads=2))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return scenes(num, seed=seed, unusual=unusual, image=True)


class TestPoints(RecipeContract):
    shapes: ClassVar[Shapes] = POINT_SHAPES

    def recipe(self) -> AnoVoxPointRecipe:
        return AnoVoxPointRecipe(AnoVoxPointSettings(width=16))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return scenes(num, seed=seed, unusual=unusual)


class TestBags(TestPoints):
    steps = 60

    def recipe(self) -> AnoVoxMilRecipe:
        return AnoVoxMilRecipe(AnoVoxMilSettings(width=16, pooling="max"))


class TestBagsByAttention(TestBags):
    def recipe(self) -> AnoVoxMilRecipe:
        return AnoVoxMilRecipe(AnoVoxMilSettings(width=16))


def scored(recipe: object, model: nn.Module, rows: Batch) -> torch.Tensor:
    assert isinstance(recipe, AnoVoxSceneRecipe | AnoVoxPointRecipe)
    with torch.no_grad():
        return recipe.predict(model, recipe.encode(model, rows.inputs(), None)).score


def test_the_original_has_as_many_parameters_as_was_reported() -> None:
    assert sum(parameter.numel() for parameter in OriginalSceneNetwork().parameters()) == 792_321


ORIGINAL = AnoVoxSceneSettings(network="original")
PIXELS: Shapes = {"pixels/values": (1, 48 * 64 * 3)}


def test_padding_moves_the_original_and_nothing_else() -> None:
    torch.manual_seed(0)
    plain, padded = (scenes(4, seed=1, unusual=True, image=True, padding=num) for num in (0, 40))
    for recipe, shapes in (
        (TestScene().recipe(), TestScene.shapes),
        (TestPoints().recipe(), POINT_SHAPES),
        (TestBags().recipe(), POINT_SHAPES),
        (TestBagsByAttention().recipe(), POINT_SHAPES),
    ):
        model = recipe.build(shapes).eval()
        torch.testing.assert_close(scored(recipe, model, padded), scored(recipe, model, plain), rtol=1e-5, atol=1e-6)
    original = AnoVoxSceneRecipe(ORIGINAL)
    model = original.build({**POINT_SHAPES, **PIXELS}).eval()
    pictures = {"pixels/values": torch.rand(4, *PIXELS["pixels/values"])}
    whole = {**plain.features, "points/points": plain.features["points/points"][:, :NUM_REAL]}
    before, after = (scored(original, model, Batch({**each, **pictures})) for each in (whole, padded.features))
    assert (before - after).abs().max() > 1e-5


@pytest.mark.parametrize("looks_at", ["image", "points"])
def test_an_ablation_asks_for_what_it_looks_at_alone(looks_at: str) -> None:
    settings = AnoVoxSceneSettings.model_validate({"image": IMAGE, "looks_at": looks_at, "width": 16})
    needs = AnoVoxSceneRecipe(settings).needs()
    held = IMAGE_SHAPES if looks_at == "image" else POINT_SHAPES
    assert {request.name for request in needs.features} == set(held)
    model = AnoVoxSceneRecipe(settings).build(held).eval()
    assert scored(AnoVoxSceneRecipe(settings), model, scenes(3, seed=1, unusual=False, image=True)).shape == (3,)


def test_without_attention_points_do_not_ask() -> None:
    settings = AnoVoxSceneSettings(image=IMAGE, width=16, attention=False)
    names = AnoVoxSceneRecipe(settings).build(TestScene.shapes).state_dict()
    assert not any("attention" in name for name in names)


def test_the_original_has_no_ablations_and_one_size() -> None:
    with pytest.raises(ValidationError, match="repaired"):
        AnoVoxSceneSettings(network="original", attention=False)
    with pytest.raises(SettingsError, match=r"features\.pixels\.height=48"):
        AnoVoxSceneRecipe(ORIGINAL).build({**POINT_SHAPES, "pixels/values": (1, 384)})


def test_the_ratio_is_measured_and_nothing_is_learned_from_one_kind() -> None:
    recipe = TestPoints().recipe()
    model = recipe.build(POINT_SHAPES)
    rows = scenes(8, seed=0, unusual=False)
    recipe.measure(model, [rows], {})
    positives = 4 * STRANGE
    assert model.pos_weight == pytest.approx((8 * NUM_REAL - positives) / positives)
    with pytest.raises(TrainingError, match="detection"):
        recipe.measure(model, [scenes(8, seed=1, unusual=False)], {})


def test_losses_by_hand() -> None:
    logits, labels, one = torch.tensor([0.0, 0.0, 2.0]), torch.tensor([1, 0, -1]), torch.tensor(1.0)
    half = float(np.log(2))
    assert binary_loss(logits, labels, pos_weight=one, focal=0.0) == pytest.approx(half)
    assert binary_loss(logits, labels, pos_weight=torch.tensor(9.0), focal=0.0) == pytest.approx(half)
    assert binary_loss(logits, labels, pos_weight=one, focal=2.0) == pytest.approx(half / 4)
    assert binary_loss(logits[2:], labels[2:], pos_weight=one, focal=0.0) == 0
    ratio = Ratio()
    ratio.add(labels)
    assert ratio.value == 1


def test_a_constant_that_tells_nothing_loses_the_entropy_of_coins() -> None:
    """The original's labels were coins of one in ten: no model can do better than H(.1) = .3251 nats, AUROC .5."""
    labels = torch.tensor([1] * 100 + [0] * 900)
    logit = float(np.log(0.1 / 0.9))
    loss = binary_loss(torch.full((1000,), logit), labels, pos_weight=torch.tensor(1.0), focal=0.0)
    assert loss == pytest.approx(0.3251, abs=1e-4)


def test_padding_has_no_score() -> None:
    recipe, rows = TestPoints().recipe(), scenes(3, seed=1, unusual=False)
    model = recipe.build(POINT_SHAPES).eval()
    with torch.no_grad():
        found = recipe.predict(model, recipe.encode(model, rows.inputs(), None)).outputs[POINT_SCORES]
    assert found[:, NUM_REAL:].isnan().all() and found[:, :NUM_REAL].isfinite().all()


def test_all_points_of_a_negative_bag_are_held_down() -> None:
    recipe, rows = TestBags().recipe(), scenes(2, seed=0, unusual=False)
    assert isinstance(recipe, AnoVoxMilRecipe)
    model = recipe.build(POINT_SHAPES).eval()
    with torch.no_grad():
        encodings = recipe.encode(model, rows.inputs(), None)
        loss = recipe.loss(model, encodings, {"label": torch.tensor([0, 1])})
    logits = encodings["logits"][:, :NUM_REAL]
    assert float(loss.terms["negatives"]) == pytest.approx(float(nn.functional.softplus(logits[0]).mean()), rel=1e-5)
    of_largest = (nn.functional.softplus(logits[0].max()) + nn.functional.softplus(-logits[1].max())) / 2
    assert float(loss.terms["scenes"]) == pytest.approx(float(of_largest), rel=1e-5)
