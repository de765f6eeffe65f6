"""The recipe against the contract of recipes; its angles by init; turned clouds; padding."""

from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import nn

from weldcache.metrics.von_mises import KAPPA, WEIGHT, circle, log_density
from weldcache.testing.recipes import RecipeContract
from weldcache.testing.tasks import TaskContract
from weldcache.train.nn.point_sets import PointNetPlusPlus
from weldcache.train.orientation import CONCENTRATION, MIXTURE, ORIENTATION, SYMMETRY, OrientationTask
from weldcache.train.recipes.orientation_mvm.recipe import OrientationMvmRecipe, turned
from weldcache.train.recipes.orientation_mvm.settings import OrientationMvmSettings
from weldcache.train.tasks import Targets
from weldcache.train.types import Batch, Prediction, Shapes

NUM, CENTRES, FEWER, NEAR = 24, 8, 4, 6
SHAPES: Shapes = {
    "cloud/points": (NUM, 3),
    "cloud/order": (CENTRES,),
    "cloud/neighbours_1": (CENTRES, NEAR),
    "cloud/neighbours_2": (FEWER, NEAR),
}


def clouds(num: int, *, seed: int, round_ones: bool = False) -> Batch:
    """Sticks that point somewhere, from the origin outwards; round ones point nowhere."""
    rng = np.random.default_rng(seed)
    degrees = rng.uniform(0, 360, size=num)
    along = rng.uniform(0, 1, size=(num, NUM))
    angle = rng.uniform(0, 2 * np.pi, size=(num, NUM)) if round_ones else np.radians(degrees)[:, None]
    points = np.stack([along * np.cos(angle), along * np.sin(angle), np.zeros((num, NUM))], axis=2)
    points += 0.02 * rng.normal(size=points.shape)
    order = np.tile(np.arange(CENTRES), (num, 1))
    first, second = (rng.integers(0, most, size=(num, rows, NEAR)) for most, rows in ((NUM, CENTRES), (CENTRES, FEWER)))
    features = {
        "cloud/points": torch.from_numpy(points).float(),
        "cloud/order": torch.from_numpy(order).int(),
        "cloud/neighbours_1": torch.from_numpy(first).int(),
        "cloud/neighbours_2": torch.from_numpy(second).int(),
    }
    targets = {
        ORIENTATION: torch.from_numpy(degrees).float(),
        SYMMETRY: torch.full((num,), 0 if round_ones else 1),
        CONCENTRATION: torch.full((num,), 8.0),
    }
    return Batch(features, targets=targets)


class TestContract(RecipeContract):
    shapes: ClassVar[Shapes] = SHAPES

    def recipe(self) -> OrientationMvmRecipe:
        return OrientationMvmRecipe(OrientationMvmSettings(width=8, turn=False))

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        """What points nowhere is unusual: that its orientation is unsure is learned from some of it among training's
        rows, those of seed 0."""
        if seed != 0:
            return clouds(num, seed=seed, round_ones=unusual)
        one, other = clouds(num // 2, seed=0), clouds(num - num // 2, seed=7, round_ones=True)

        def both(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {name: torch.cat([first[name], second[name]]) for name in first}

        return Batch(both(dict(one.features), dict(other.features)), {}, both(dict(one.targets), dict(other.targets)))


class TestBySymmetry(TestContract):
    def recipe(self) -> OrientationMvmRecipe:
        return OrientationMvmRecipe(
            OrientationMvmSettings(width=8, turn=False, peaks="by_symmetry", loss="symmetry_kl")
        )


class TestTask(TaskContract):
    targets: ClassVar[Targets] = {
        ORIENTATION: np.array([10.0, np.nan, 200.0, 3.0, 4.0]),
        SYMMETRY: np.array([4, 1, -1, 0, 2]),
        CONCENTRATION: np.array([8.0, 8.0, 8.0, 8.0, 8.0]),
    }
    unknown = (1, 2)

    def task(self) -> OrientationTask:
        return OrientationTask()

    def prediction(self, num: int) -> Prediction:
        generator = torch.Generator().manual_seed(0)
        angle, kappa = 6 * torch.rand(num, 3, generator=generator), 5 * torch.rand(num, 3, generator=generator)
        mixture = torch.stack([angle, kappa, torch.rand(num, 3, generator=generator).softmax(dim=1)], dim=2)
        return Prediction(torch.rand(num, generator=generator), {MIXTURE: mixture})


def gradients_of(init: str) -> tuple[float, float]:
    """Largest gradient of the head for angles after a step, and of all others."""
    rows = clouds(16, seed=0)
    recipe = OrientationMvmRecipe(OrientationMvmSettings.model_validate({"width": 8, "init": init, "turn": False}))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = recipe.build(SHAPES)
    recipe.loss(model, recipe.encode(model, rows.inputs(), None), rows.targets).total.backward()
    largest = {
        name: max(float(parameter.grad.abs().max()) for parameter in module.parameters() if parameter.grad is not None)
        for name, module in model.named_children()
    }
    return largest.pop("angles"), max(largest.values())


@pytest.mark.parametrize(("init", "is_dead"), [("preset", False), ("random", False), ("zeros", True)])
def test_angles_that_begin_at_a_vector_of_no_length_have_no_gradient_at_all(init: str, is_dead: bool) -> None:
    of_angles, of_others = gradients_of(init)
    assert (of_angles == 0.0) == is_dead and of_others > 0


@pytest.mark.parametrize("symmetry", [0, 1, 2, 4])
def test_peaks_of_a_known_symmetry_look_the_same_after_each_of_its_turns(symmetry: Literal[0, 1, 2, 4]) -> None:
    settings = OrientationMvmSettings(width=8, peaks="by_symmetry", symmetries=(symmetry,), min_kappa=3)
    recipe, rows = OrientationMvmRecipe(settings), clouds(3, seed=0)
    model = recipe.build(SHAPES).eval()
    mixture = recipe.predict(model, recipe.encode(model, rows, None)).outputs[MIXTURE].detach().double().numpy()
    assert mixture.shape == (3, max(1, symmetry), 3)
    assert (mixture[..., KAPPA] >= 3).all() if symmetry else (mixture[..., KAPPA] == 0).all()
    density = log_density(mixture, circle())
    np.testing.assert_allclose(density, np.roll(density, 360 // max(1, symmetry), axis=1), atol=1e-5)
    assert (np.ptp(density, axis=1) < 1e-6).all() == (symmetry == 0)


def test_the_number_of_peaks_is_learned_from_clouds_of_several_symmetries() -> None:
    """Sticks have one peak, round clouds none: each symmetry's share grows where it is true."""
    recipe = TestBySymmetry().recipe()
    rows = TestContract().rows(32, seed=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = recipe.build(SHAPES)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        recipe.loss(model, recipe.encode(model, rows.inputs(), None), rows.targets).total.backward()
        optimizer.step()
    mixture = recipe.predict(model, recipe.encode(model, rows.inputs(), None)).outputs[MIXTURE].detach().numpy()
    flat, single = mixture[:, 0, WEIGHT], mixture[:, 1, WEIGHT]
    assert np.array_equal(flat > 0.9, rows.targets[SYMMETRY].numpy() == 0)
    assert np.array_equal(single > 0.9, rows.targets[SYMMETRY].numpy() == 1)


def test_settings_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(ValueError, match="by_symmetry"):
        OrientationMvmSettings(loss="symmetry_kl")
    with pytest.raises(ValueError, match="max_kappa=80"):
        OrientationMvmSettings(min_kappa=100)


def test_turning_a_cloud_in_training_turns_its_truth_with_it() -> None:
    """A loss that reads the truth off the cloud is the same however the cloud is turned."""
    recipe = OrientationMvmRecipe(OrientationMvmSettings(width=8))
    rows, model = clouds(6, seed=0), recipe.build(SHAPES).eval()
    encodings = recipe.encode(model, rows.inputs(), torch.Generator().manual_seed(0))
    assert encodings["turned"].unique().numel() == 6 and not recipe.encode(model, rows, None)["turned"].any()
    points = turned(rows.features["cloud/points"], encodings["turned"], axis=2)
    middle = points.mean(dim=1)
    seen = torch.rad2deg(torch.atan2(middle[:, 1], middle[:, 0]))
    told = rows.targets[ORIENTATION] + encodings["turned"]
    assert ((seen - told + 180) % 360 - 180).abs().max() < 3
    upright = turned(torch.tensor([[[0.0, 0, 1]]]), torch.tensor([90.0]), axis=1)
    torch.testing.assert_close(upright, torch.tensor([[[1.0, 0, 0]]]), atol=1e-6, rtol=0)


@torch.no_grad()
def test_padding_changes_nothing_not_even_a_bit() -> None:
    rows = clouds(4, seed=0).features
    network = PointNetPlusPlus(8).eval()
    rest = [rows[f"cloud/{name}"] for name in ("order", "neighbours_1", "neighbours_2")]
    padded = torch.cat([rows["cloud/points"], torch.full((4, 5, 3), torch.nan)], dim=1)
    assert torch.equal(network(padded, *rest), network(rows["cloud/points"], *rest))


def test_the_widths_of_the_original() -> None:
    network = PointNetPlusPlus(64)

    def ends(module: nn.Module) -> list[int]:
        return [linear.out_features for linear in module.modules() if isinstance(linear, nn.Linear)]

    assert [ends(part)[-1] for part in (network.first, network.second, network.all)] == [128, 256, 1024]
    assert ends(network.last) == [512, 256]
