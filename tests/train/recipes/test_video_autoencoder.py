"""The video autoencoder as a recipe: mean over frames, error of each weld, and that it learns what normal is."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weldcache.errors import SettingsError
from weldcache.settings import load_settings
from weldcache.train.nn.standardise import ChannelStatistics
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.recipes.video_autoencoder import (
    Autoencoder,
    VideoAutoencoderRecipe,
    VideoAutoencoderSettings,
    reconstruction_error,
)
from weldcache.train.state import schedule_for
from weldcache.train.types import Batch

ARRAY = "film_frames/embedding"
SHAPES = {ARRAY: (4, 12)}


def recipe_of(*, standardise: bool = False) -> VideoAutoencoderRecipe:
    settings = {"frames": "film_frames", "hidden": 16, "bottleneck": 3, "standardise": standardise}
    return VideoAutoencoderRecipe(VideoAutoencoderSettings.model_validate(settings))


def welds(num: int, *, seed: int, unusual: bool = False) -> Tensor:
    """Frame embeddings on a plane, in half precision; unusual ones lie off it."""
    rng = np.random.default_rng(seed)
    plane = np.random.default_rng(7).normal(size=(2, 12))
    values = rng.normal(size=(num, 1, 2)) @ plane + 0.1 * rng.normal(size=(num, 4, 12))
    if unusual:
        values = values + rng.normal(size=(num, 1, 12))
    return torch.from_numpy(values).half()


def test_it_is_a_recipe_that_asks_for_frames_alone() -> None:
    recipe = recipe_of()
    assert isinstance(recipe, Recipe)
    assert [(request.name, request.optional) for request in recipe.needs().features] == [(ARRAY, False)]
    assert recipe.needs().modalities == {"video": ("film_frames",)} and recipe.needs().dispensable == {}
    assert list(recipe.needs().constants) == [] and list(recipe.needs().measures) == []
    assert list(recipe_of(standardise=True).needs().measures) == [ARRAY]
    assert "`weldcache extract --config video_ae`" in recipe.advice(["film_frames"], held=["video"])


def test_a_feature_without_frames_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"film_frames/embedding.*recipe\.frames"):
        recipe_of().build({ARRAY: (12,)})


def test_score_and_loss_by_hand() -> None:
    recipe, frames = recipe_of(), welds(5, seed=1)
    model = recipe.build(SHAPES)
    encodings = recipe.encode(model, Batch({ARRAY: frames}), None)
    mean = frames.float().mean(dim=1)
    rebuilt = model.decoder(model.encoder(mean))
    assert torch.equal(encodings["target"], mean)
    scores = recipe.predict(model, encodings).score
    assert scores.tolist() == pytest.approx([((rebuilt[i] - mean[i]) ** 2).mean().item() for i in range(5)])
    losses = recipe.loss(model, encodings, {})
    assert losses.terms == {}
    assert losses.total.item() == pytest.approx(scores.mean().item())
    assert {name: tuple(code.shape) for name, code in losses.watched.items()} == {"code": (5, 3)}


def test_only_asked_for_inputs_are_standardised() -> None:
    frames = welds(40, seed=2)
    parts = [Batch({ARRAY: part}) for part in frames.split(16)]
    means = frames.float().mean(dim=1)
    for standardise in (False, True):
        recipe = recipe_of(standardise=standardise)
        model = recipe.build(SHAPES)
        recipe.measure(model, iter(parts), {})
        target = recipe.encode(model, Batch({ARRAY: frames}), None)["target"]
        expected = (means - means.mean(dim=0)) / means.std(dim=0, correction=0) if standardise else means
        torch.testing.assert_close(target, expected, atol=1e-5, rtol=1e-5)


def test_half_precision_arithmetic_ends_in_float32() -> None:
    recipe = recipe_of()
    model = recipe.build(SHAPES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        encodings = recipe.encode(model, Batch({ARRAY: welds(3, seed=0)}), None)
    assert {encoding.dtype for encoding in encodings.values()} == {torch.float32}


def test_it_learns_what_normal_is() -> None:
    recipe = recipe_of()
    torch.manual_seed(0)
    model = recipe.build(SHAPES)
    train = Batch({ARRAY: welds(64, seed=3)})
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    losses = []
    for _ in range(200):
        loss = recipe.loss(model, recipe.encode(model, train, None), {}).total
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]
    with torch.no_grad():
        normal, unusual = (
            recipe.predict(model, recipe.encode(model, Batch({ARRAY: frames}), None)).score
            for frames in (welds(50, seed=4), welds(50, seed=5, unusual=True))
        )
    assert normal.quantile(0.9) < unusual.quantile(0.1)


def test_the_preset_is_the_published_recipe() -> None:
    settings = load_settings("video_ae")
    assert settings.extract.features == ("frames", "text")
    assert settings.recipe == VideoAutoencoderSettings(hidden=128, bottleneck=64)
    train = settings.train
    assert (train.epochs, train.batch_size, train.weight_decay) == (30, 8, 0)
    assert train.patience >= train.epochs and train.ema_decay == 0 and train.monitor == "val_loss"
    schedule = schedule_for(train, num_samples=100)
    assert {schedule.at(step) for step in range(schedule.total_steps)} == {1e-3}


@pytest.mark.parametrize(("width", "hidden", "bottleneck"), [(768, 128, 64), (1280, 128, 64), (7, 5, 3)])
def test_parameters_are_those_of_four_linear_layers(width: int, hidden: int, bottleneck: int) -> None:
    model = Autoencoder(width, hidden=hidden, bottleneck=bottleneck)
    expected = 2 * width * hidden + 2 * hidden * bottleneck + width + 2 * hidden + bottleneck
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert [module.out_features for module in model.modules() if isinstance(module, nn.Linear)] == [
        hidden,
        bottleneck,
        hidden,
        width,
    ]


def test_layers_by_hand() -> None:
    torch.manual_seed(0)
    model = Autoencoder(7, hidden=5, bottleneck=3)
    vectors = torch.randn(4, 7)
    first, second, third, fourth = (module for module in model.modules() if isinstance(module, nn.Linear))
    code = (vectors @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    hidden = (code.clamp(min=0) @ third.weight.T + third.bias).clamp(min=0)
    output = model(vectors)
    torch.testing.assert_close(output.code, code.clamp(min=0))
    torch.testing.assert_close(output.rebuilt, hidden @ fourth.weight.T + fourth.bias)
    assert torch.equal(output.target, vectors)  # not standardised until it is told how


def test_what_is_rebuilt_is_the_standardised_vector() -> None:
    model, vectors = Autoencoder(7, hidden=5, bottleneck=3), 3 + 2 * torch.randn(50, 7)
    statistics = ChannelStatistics(7)
    statistics.add(vectors)
    model.standardise.use(statistics)
    target = model(vectors).target
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(dim=0, correction=0), torch.ones(7))


def test_the_error_by_hand() -> None:
    rebuilt, target = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 6.0]])
    assert reconstruction_error(rebuilt, target).tolist() == pytest.approx([13 / 3, 12.0])
