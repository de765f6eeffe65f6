"""The recipe by its contract, with and without all modalities; it learns a few rows by heart; who votes."""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from weldcache.errors import SettingsError
from weldcache.testing.recipes import RecipeContract
from weldcache.train.recipes.recipe import MODALITY_SHARES
from weldcache.train.recipes.supcon.recipe import SupConRecipe
from weldcache.train.recipes.supcon.settings import SupConSettings
from weldcache.train.runs.checkpointer import restore, resumable_checkpoint
from weldcache.train.settings import TrainSettings
from weldcache.train.state import new_state, update_average
from weldcache.train.types import Batch, Shapes

SHAPES: Shapes = {
    "video/tokens": (4, 6),
    "image/block_4/mean": (2, 5),
    "image/block_4/views_present": (2,),
    "audio/tokens": (5, 7),
    "audio/tokens_length": (),
    "sensor/values": (8, 3),
    "classes/class": (4,),
}
SETS = ("video", "image/block_4", "audio", "sensor")
SMALL = {"width": 16, "num_heads": 2, "sensor_width": 8, "sensor_layers": 1, "sensor_heads": 2, "projection": 8}
NUM_CLASSES = 3  # that there are rows of; the fourth is named and nobody has it


def supcon(**settings: object) -> SupConRecipe:
    small = {**SMALL, "image": "image/block_4/mean", **settings}
    return SupConRecipe(SupConSettings.model_validate(small))


def labelled(num: int, *, seed: int, between: bool = False) -> Batch:
    """Rows of three classes, each of which has a direction in every array; `between` lie between two of them."""
    generator, directions = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(7)
    classes = torch.arange(num) % NUM_CLASSES
    features: dict[str, Tensor] = {}
    for name in ("video/tokens", "image/block_4/mean", "audio/tokens", "sensor/values"):
        shape = SHAPES[name]
        of_class = 3 * torch.randn(NUM_CLASSES, shape[-1], generator=directions)
        drawn = of_class[classes] if not between else of_class.mean(dim=0).expand(num, -1)
        values = drawn.unsqueeze(1) + 0.5 * torch.randn(num, *shape, generator=generator)
        features[name] = values if name == "sensor/values" else values.half()
    features["image/block_4/views_present"] = torch.ones(num, 2, dtype=torch.uint8)
    features["image/block_4/views_present"][::3, 1] = 0
    features["image/block_4/mean"][::3, 1] = torch.inf  # padding
    features["audio/tokens_length"] = torch.full((num,), 5, dtype=torch.int32)
    features["audio/tokens_length"][1::3] = 3
    present = {name: torch.ones(num, dtype=torch.bool) for name in SETS}
    present["audio"][2::5] = False
    return Batch(features, present, {"class": classes})


def trained(recipe: SupConRecipe, rows: Batch, *, steps: int, lr: float = 3e-3) -> torch.nn.Module:
    torch.manual_seed(0)
    model, generator = recipe.build(SHAPES), torch.Generator().manual_seed(0)
    recipe.measure(model, [rows.only(recipe.needs().measures)], {})
    optimizer = torch.optim.AdamW(model.train().parameters(), lr=lr)
    for _ in range(steps):
        lost = recipe.loss(model, recipe.encode(model, rows.inputs(), generator), rows.targets)
        optimizer.zero_grad()
        lost.total.backward()
        optimizer.step()
    return model.eval()


class TestAllModalities(RecipeContract):
    """Normal rows are clearly of one class, unusual ones are between all."""

    shapes: ClassVar[Shapes] = SHAPES
    steps = 20
    answer: ClassVar[str] = "head"

    def recipe(self) -> SupConRecipe:
        return supcon(answer=self.answer, class_weight=1.0, hard_negatives=0.5, modality_dropout=0.2)

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return labelled(num, seed=seed, between=unusual)


class TestNeighbours(TestAllModalities):
    """Votes of five neighbours are no score of what is unusual; the rest of the contract holds."""

    answer: ClassVar[str] = "neighbours"

    def test_scores_are_finite_and_higher_for_what_is_unusual(self, model: torch.nn.Module) -> None:
        recipe, rows = self.recipe(), self.rows(30, seed=2)
        with torch.no_grad():
            told = recipe.predict(model, recipe.encode(model, rows.inputs(), None))
        assert told.score.isfinite().all()
        assert (told.outputs["logits"].argmax(dim=1) == rows.targets["class"]).float().mean() > 0.9


@pytest.mark.parametrize("views", ["each", "concat"])
def test_it_learns_two_rows_of_each_class_by_heart(views: str) -> None:
    """Noise without any sense: all that tells the classes apart is which row it is."""
    recipe, rows = supcon(mixup=0.0, views=views), labelled(2 * NUM_CLASSES, seed=0)
    noise = {
        name: torch.randn(values.shape, generator=torch.Generator().manual_seed(5)).to(values.dtype)
        for name, values in rows.features.items()
        if values.is_floating_point()
    }
    rows = replace(rows, features={**rows.features, **noise})
    model = trained(recipe, rows, steps=40)
    with torch.no_grad():
        encodings = recipe.encode(model, rows.inputs(), None)
    classes = rows.targets["class"]
    assert (encodings["logits"].argmax(dim=1) == classes).all()
    vectors = encodings["compared"]
    alike = (vectors @ vectors.T).masked_fill(torch.eye(len(vectors), dtype=torch.bool), -1)
    assert (classes[alike.argmax(dim=1)] == classes).all()


def test_only_rows_of_known_class_vote_and_count() -> None:
    recipe, rows = supcon(mixup=0.0), labelled(18, seed=0)
    unknown = torch.arange(18) % 4 == 0
    partly = {"class": rows.targets["class"].masked_fill(unknown, -1)}
    model = trained(recipe, replace(rows, targets=partly), steps=1)
    with torch.no_grad():
        encodings = recipe.encode(model, rows.inputs(), None)
    recipe.remember(model, encodings, partly)
    assert model.voter_classes.int().argmax(dim=1).tolist() == partly["class"][~unknown].tolist()
    known = {name: values[~unknown] for name, values in encodings.items()}
    for weight in (0.0, 1.0):
        chosen = supcon(mixup=0.0, class_weight=weight)
        whole, part = (
            chosen.loss(model, given, {"class": classes}).total
            for given, classes in ((encodings, partly["class"]), (known, partly["class"][~unknown]))
        )
        torch.testing.assert_close(whole, part)


def test_what_mixed_rows_are_of_is_mixed_alike() -> None:
    recipe, rows = supcon(mixup=1.0), labelled(12, seed=0)
    model = trained(recipe, rows, steps=0)
    encodings = recipe.encode(model, rows.inputs(), torch.Generator().manual_seed(0))
    lacks = ~rows.present["audio"]
    as_it_is = lacks | lacks.roll(1)
    shares = encodings["shares"]
    assert (shares[as_it_is] == 1).all() and (shares[~as_it_is] < 1).any()
    classes = rows.targets["class"]
    cross = torch.nn.functional.cross_entropy
    logits = encodings["logits"]
    own, before = (cross(logits, of, reduction="none") for of in (classes, classes.roll(1)))
    found = recipe.loss(model, encodings, rows.targets).terms["class"]
    torch.testing.assert_close(found, (shares * own + (1 - shares) * before).mean())


@pytest.mark.parametrize("views", ["mean", "max"])
def test_views_are_one_vector_by_those_that_are_there(views: str) -> None:
    recipe, rows = supcon(views=views), labelled(6, seed=0)
    model = trained(recipe, rows, steps=0)
    images = rows.features["image/block_4/mean"].clone()
    images[0, 1] = images[0, 0]  # in the place of a view that is not there the first again
    there = rows.features["image/block_4/views_present"].clone().index_fill_(0, torch.tensor([0]), 1)
    shown = {"image/block_4/mean": images, "image/block_4/views_present": there}
    both = replace(rows, features={**rows.features, **shown})
    with torch.no_grad():
        once, twice = (recipe.encode(model, given.inputs(), None)["embedding"] for given in (rows, both))
    torch.testing.assert_close(once, twice)


def test_a_checkpoint_holds_who_votes_of_both_weights() -> None:
    recipe, rows, settings = supcon(), labelled(12, seed=0), TrainSettings()
    state = new_state(trained(recipe, rows, steps=0), settings=settings)
    fresh = new_state(recipe.build(SHAPES), settings=settings)
    with torch.no_grad():
        for number, model in enumerate((state.model, state.averaged)):
            encodings = recipe.encode(model, rows.inputs(), None)
            embedding = encodings["embedding"] + number
            recipe.remember(model, {**encodings, "embedding": embedding}, rows.targets)
    restore(fresh, resumable_checkpoint(state), path=Path("last"))
    update_average(fresh.averaged, fresh.model, decay=0.5)
    restore(fresh, resumable_checkpoint(state), path=Path("last"))
    assert torch.equal(fresh.model.voters.bank, state.model.voters.bank)
    assert torch.equal(fresh.averaged.voters.bank, state.averaged.voters.bank)
    assert not torch.equal(fresh.averaged.voters.bank, fresh.model.voters.bank)
    assert torch.equal(fresh.averaged.voter_classes, state.averaged.voter_classes)


def test_shares_of_modalities_are_told_of_each_row() -> None:
    recipe, rows = supcon(), labelled(10, seed=0)
    model = trained(recipe, rows, steps=0)
    with torch.no_grad():
        encodings = recipe.encode(model, rows.inputs(), None)
        recipe.remember(model, encodings, rows.targets)
        shares = recipe.predict(model, encodings).outputs[MODALITY_SHARES]
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(10))
    assert ((shares[:, 2] == 0) == ~rows.present["audio"]).all()


@pytest.mark.parametrize(("settings", "named"), [({}, "stratify"), ({"neighbours": 7}, "neighbours")])
def test_what_cannot_be_told_apart_is_refused(settings: dict[str, object], named: str) -> None:
    recipe, rows = supcon(**settings), labelled(6, seed=0)
    if not settings:
        rows = replace(rows, targets={"class": torch.ones(6, dtype=torch.long)})
    with pytest.raises(SettingsError, match=named):
        trained(recipe, rows, steps=0)


def test_arrays_are_chosen_by_the_store_and_null_is_done_without() -> None:
    held = ["video/embedding", "image/block_3/mean", "image/block_12/mean", "sound_statistics/tokens"]
    chosen = SupConSettings.model_validate({"sensor": None}).for_store(held)
    assert chosen.arrays == {
        "video": "video/embedding",
        "image": "image/block_12/mean",
        "audio": "sound_statistics/tokens",
    }
    with pytest.raises(ValueError, match="null"):
        SupConSettings.model_validate(dict.fromkeys(("video", "image", "audio", "sensor")))
