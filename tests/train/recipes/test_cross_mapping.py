"""CFM and L2BT: each side from the other, by hand and against the contract, and what is no pair of sides."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from weldcache.errors import NotFoundError, SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.recipes.cross_mapping import (
    CfmSettings,
    CrossMapping,
    CrossMappingRecipe,
    L2btSettings,
)
from weldcache.train.types import Batch, Shapes

FILM, SOUND, PICTURES, VIEWS = "film/embedding", "sound/values", "picture/block_2/mean", "picture/block_2/views_present"
POOLED: Shapes = {FILM: (7,), SOUND: (9,), PICTURES: (3, 8), VIEWS: (3,)}
SHALLOW, DEEP, SEEN = "image/block_2/patch_tokens", "image/block_4/patch_tokens", "image/block_2/views_present"
PATCHES: Shapes = {SHALLOW: (2, 9, 6), DEEP: (2, 9, 4), SEEN: (2,), "image/block_4/views_present": (2,)}


def cfm(**changes: object) -> CrossMappingRecipe:
    return CrossMappingRecipe(CfmSettings.model_validate({"process": (FILM, SOUND), "result": (PICTURES,)} | changes))


def l2bt(**changes: object) -> CrossMappingRecipe:
    return CrossMappingRecipe(L2btSettings.model_validate({"array": DEEP, "shallow": SHALLOW, "places": 8} | changes))


def one_cause(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Film, sound and pictures of one cause; of unusual ones the pictures are of the opposite."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    cause = rng.normal(size=(num, 3))
    effect = -cause if unusual else cause
    film = cause @ mixing.normal(size=(3, 7)) + 0.1 * rng.normal(size=(num, 7))
    sound = 1000 * (cause @ mixing.normal(size=(3, 9)) + 0.1 * rng.normal(size=(num, 9)))
    pictures = 5 + (effect @ mixing.normal(size=(3, 8)))[:, np.newaxis] + 0.1 * rng.normal(size=(num, 3, 8))
    views = np.column_stack([np.ones(num), rng.integers(0, 2, size=(num, 2))]).astype(np.uint8)
    pictures[views == 0] = np.inf
    arrays = {FILM: film, SOUND: sound, PICTURES: pictures}
    return Batch({**{k: torch.from_numpy(v).float() for k, v in arrays.items()}, VIEWS: torch.from_numpy(views)})


def two_blocks(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Patches of which the deep block is a turned shallow one; a patch of unusual rows is turned the other way."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(7)
    shallow = rng.normal(size=(num, 2, 9, 6))
    deep = np.tanh(shallow) @ mixing.normal(size=(6, 4)) + 0.05 * rng.normal(size=(num, 2, 9, 4))
    if unusual:
        deep[:, 0, 3] *= -1
    views = np.column_stack([np.ones(num), rng.integers(0, 2, size=num)]).astype(np.uint8)
    shallow[views == 0], deep[views == 0] = np.nan, 1e4
    seen = torch.from_numpy(views)
    arrays = {SHALLOW: torch.from_numpy(shallow).half(), DEEP: torch.from_numpy(deep).half()}
    return Batch({**arrays, SEEN: seen, "image/block_4/views_present": seen})


class TestCfm(RecipeContract):
    shapes: ClassVar[Shapes] = POOLED
    steps, lr = 150, 3e-3

    def recipe(self) -> CrossMappingRecipe:
        return cfm()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return one_cause(num, seed=seed, unusual=unusual)


class TestL2bt(RecipeContract):
    shapes: ClassVar[Shapes] = PATCHES
    steps = 150

    def recipe(self) -> CrossMappingRecipe:
        return l2bt()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return two_blocks(num, seed=seed, unusual=unusual)


class TestCfmByPlace(TestL2bt):
    def recipe(self) -> CrossMappingRecipe:
        return cfm(process=(SHALLOW,), result=(DEEP,), vectors="each", top_percent=0.1, standardise=False)


def test_perceptrons_are_as_wide_as_the_papers_have_them() -> None:
    model = CrossMapping([768], [1152])
    widths = [layer.weight.shape[::-1] for layer in model.forth if isinstance(layer, torch.nn.Linear)]
    assert widths == [(768, 960), (960, 960), (960, 1152)]
    deep = CrossMapping([10], [10])
    assert sum(parameter.numel() for parameter in deep.parameters()) == 2 * 3 * (10 * 10 + 10)


def test_the_score_is_the_product_of_both_distances_and_the_loss_the_sum_of_both_cosines() -> None:
    recipe, rows = l2bt(), two_blocks(5, seed=1)
    model = recipe.build(PATCHES).double()
    recipe.measure(model, [rows], {})
    prediction = recipe.predict(model, encodings := recipe.encode(model, rows, None))
    real = rows.features[SEEN].bool()
    units = model.standardise
    sides = [rows.features[SHALLOW].double(), rows.features[DEEP].double()]
    shallow, deep = (
        (values - mean) / std
        for values, mean, std in zip(sides, units.mean.split([6, 4]), units.std.split([6, 4]), strict=True)
    )
    distances, cosines = [], []
    for found, wanted in ((model.forth(shallow), deep), (model.back(deep), shallow)):
        lengths = [values / values.norm(dim=-1, keepdim=True) for values in (found, wanted)]
        distances.append((lengths[0] - lengths[1]).norm(dim=-1))
        cosines.append(1 - (lengths[0] * lengths[1]).sum(dim=-1)[real].mean())
    product = distances[0] * distances[1]
    expected = torch.where(real, product.amax(dim=-1), -torch.inf).amax(dim=-1)  # 0.1 % of 9 patches is one
    torch.testing.assert_close(prediction.score.double(), expected, rtol=1e-5, atol=1e-6)
    found = prediction.maps["distance"]
    torch.testing.assert_close(found[real].double(), product[real], rtol=1e-5, atol=1e-6)
    assert found[~real].isnan().all()
    assert recipe.loss(model, encodings, {}).total.item() == pytest.approx(sum(cosines).item(), rel=1e-5)


def test_what_fits_together_is_no_anomaly_however_unusual_its_size() -> None:
    """A known answer: the second side is twice the first, which a linear map knows; its cosine does not see size."""
    recipe = cfm(process=("a/values",), result=("b/values",), standardise=False)
    model = recipe.build({"a/values": (3,), "b/values": (3,)})
    for perceptron in (model.forth, model.back):
        for layer in (perceptron[0], perceptron[2], perceptron[4]):
            torch.nn.init.eye_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    values = torch.tensor([[100.0, 200.0, 50.0], [100.0, 200.0, 50.0]])  # where GELU is the identity
    other = torch.stack([2 * values[0], torch.tensor([200.0, -100.0, 0.0])])  # and at a right angle
    with torch.no_grad():
        encodings = recipe.encode(model, Batch({"a/values": values, "b/values": other}), None)
    score = recipe.predict(model, encodings).score
    assert score[0] == pytest.approx(0, abs=1e-3)
    assert score[1] > 1.5  # forth: sqrt(2); back: GELU takes the negative number away


def test_arrays_of_one_side_count_alike_however_wide_they_are() -> None:
    model = CrossMapping([2, 8], [5])
    first = model.balance[:10].square()
    assert first[:2].sum() == pytest.approx(first[2:].sum().item()) == pytest.approx(5.0)
    assert (model.balance[10:] == 1).all()


def test_the_shallowest_block_is_found_and_one_alone_is_refused() -> None:
    blocks = [f"image/block_{block}/patch_tokens" for block in (21, 4, 10, 2)]
    arrays = [*blocks, "image/block_1/mean", "other/block_1/patch_tokens"]
    settings = L2btSettings().for_store(arrays)
    assert (settings.shallow, settings.array) == (SHALLOW, "image/block_21/patch_tokens")
    assert settings.for_store(arrays) == settings
    with pytest.raises(NotFoundError, match="no shallower block"):
        L2btSettings().for_store([DEEP])
    with pytest.raises(SettingsError, match=r"recipe\.shallow"):
        l2bt(shallow=DEEP).build(PATCHES)


def test_a_finer_map_is_brought_to_the_grid_of_the_first() -> None:
    """A known answer: pictures that are the same all over look alike on any grid."""
    rows = two_blocks(5, seed=1)
    plain = rows.features[DEEP][:, :, :1]
    recipe, found = l2bt(standardise=False), []
    torch.manual_seed(0)
    model = recipe.build({**PATCHES, DEEP: (2, 36, 4)})
    for places in (9, 36):
        features = {**rows.features, DEEP: plain.expand(5, 2, places, 4)}
        found.append(recipe.encode(model, Batch(features), None))
    assert torch.equal(found[0]["real"], found[1]["real"]) and found[1]["forth"].shape == (5, 2, 9)
    for way in ("forth", "back"):
        real = found[0]["real"]
        torch.testing.assert_close(found[0][way][real], found[1][way][real], rtol=1e-4, atol=1e-5)


def test_sides_without_the_same_places_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"same places.*recipe\.shallow"):
        l2bt().build({**PATCHES, SHALLOW: (2, 15, 6)})
    with pytest.raises(SettingsError, match=r"no places.*recipe\.process"):
        cfm(process=(FILM,), result=(SOUND,), vectors="each").build(POOLED)
    with pytest.raises(SettingsError, match="one array on each side"):
        cfm(vectors="each").build(POOLED)
