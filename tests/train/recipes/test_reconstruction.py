"""Autoencoders of vectors: of a film as it was published, of any array, and of several through one bottleneck."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weldcache.errors import SettingsError, TrainingError
from weldcache.settings import load_settings
from weldcache.testing.recipes import RecipeContract
from weldcache.train.nn.standardise import ChannelStatistics
from weldcache.train.recipes.published import published
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.recipes.reconstruction import (
    Autoencoder,
    AutoencoderOutput,
    ReconstructionRecipe,
    ReconstructionSettings,
    VideoAutoencoderRecipe,
    VideoAutoencoderSettings,
    reconstruction_error,
)
from weldcache.train.state import schedule_for
from weldcache.train.types import Batch, Shapes

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
    required = [request for request in recipe.needs().features if not request.where_held]
    assert [(request.name, request.optional) for request in required] == [(ARRAY, False)]
    assert recipe.needs().modalities == {"video": ("film_frames",)} and recipe.needs().dispensable == {}
    assert list(recipe.needs().constants) == [] and list(recipe.needs().measures) == []
    assert ARRAY in recipe_of(standardise=True).needs().measures
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
        target = model(frames.float().mean(dim=1), torch.ones(40, 12, dtype=torch.bool)).target
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
    for _ in range(120):
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
    model = Autoencoder([width], hidden=hidden, bottleneck=bottleneck)
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
    model = Autoencoder([7], hidden=5, bottleneck=3)
    vectors = torch.randn(4, 7)
    first, second, third, fourth = (module for module in model.modules() if isinstance(module, nn.Linear))
    code = (vectors @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    hidden = (code.clamp(min=0) @ third.weight.T + third.bias).clamp(min=0)
    output = model(vectors, torch.ones(4, 7, dtype=torch.bool))
    torch.testing.assert_close(output.code, code.clamp(min=0))
    torch.testing.assert_close(output.rebuilt, hidden @ fourth.weight.T + fourth.bias)
    assert torch.equal(output.target, vectors)  # not standardised until it is told how


def test_what_is_rebuilt_is_the_standardised_vector() -> None:
    model, vectors = Autoencoder([7], hidden=5, bottleneck=3), 3 + 2 * torch.randn(50, 7)
    statistics = ChannelStatistics(7)
    statistics.add(vectors)
    model.standardise.use(statistics)
    target = model(vectors, torch.ones(50, 7, dtype=torch.bool)).target
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(dim=0, correction=0), torch.ones(7))


def test_the_error_by_hand_counts_each_array_alike_and_only_what_is_known() -> None:
    rebuilt = torch.tensor([[1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 3.0, 5.0], [1.0, 2.0, 3.0, 5.0]])
    target, known = torch.tensor([1.0, 0.0, 0.0, 7.0]).expand(3, 4), torch.ones(3, 4, dtype=torch.bool)
    known[1, 3], known[2, :2] = False, False
    output = AutoencoderOutput(target, torch.zeros(3, 1), rebuilt)
    # Arrays of 3 numbers and of 1: (0 + 4 + 9) / 3 and 4; the second is lacked; of the first 9 is known, and 4.
    assert reconstruction_error(output, known, widths=[3, 1]).tolist() == pytest.approx([(13 / 3 + 4) / 2, 13 / 3, 6.5])
    assert reconstruction_error(output, ~known, widths=[3, 1])[0].isnan()


FILM, SOUND, STEPS = "film/embedding", "sound/values", "steps/values"
SEVERAL: Shapes = {FILM: (7,), SOUND: (9,), STEPS: (5, 2), f"{STEPS}_length": ()}


def one_cause(num: int, *, seed: int, unusual: bool = False) -> Batch:
    """Arrays of one cause; in unusual rows the series is of another row's. Some rows lack the sound."""
    rng, mixing = np.random.default_rng(seed), np.random.default_rng(99)
    cause = rng.normal(size=(num, 2))
    other = -cause if unusual else cause
    film = cause @ mixing.normal(size=(2, 7)) + 0.05 * rng.normal(size=(num, 7))
    sound = 1000 * (cause @ mixing.normal(size=(2, 9)) + 0.05 * rng.normal(size=(num, 9)))
    steps = 5 + (other @ mixing.normal(size=(2, 10))).reshape(num, 5, 2) + 0.05 * rng.normal(size=(num, 5, 2))
    lengths, held = rng.integers(4, 6, size=num), rng.random(num) > 0.2
    steps[np.arange(5) >= lengths[:, np.newaxis]] = np.nan
    sound[~held] = 0
    arrays = {FILM: film, SOUND: sound, STEPS: steps}
    every = torch.ones(num, dtype=torch.bool)
    return Batch(
        {**{k: torch.from_numpy(v).float() for k, v in arrays.items()}, f"{STEPS}_length": torch.from_numpy(lengths)},
        {"film": every, "sound": torch.from_numpy(held), "steps": every},
    )


def several(**changes: object) -> ReconstructionRecipe:
    chosen = {"array": FILM, "beside": (SOUND, STEPS), "vectors": "all", "hidden": 24, "bottleneck": 2}
    return ReconstructionRecipe(ReconstructionSettings.model_validate(chosen | changes))


class TestReconstruction(RecipeContract):
    """Of several arrays, one of them a series of steps."""

    shapes: ClassVar[Shapes] = SEVERAL
    steps = 150

    def recipe(self) -> ReconstructionRecipe:
        return several()

    def rows(self, num: int, *, seed: int, unusual: bool = False) -> Batch:
        return one_cause(num, seed=seed, unusual=unusual)


def test_of_one_array_it_is_a_model_of_one_modality_and_of_several_none_is_needed() -> None:
    single = ReconstructionRecipe(ReconstructionSettings(array="image/block_2/mean"))
    assert single.needs().modalities == {"image": ("image/block_2",)} and not single.needs().optional
    assert set(several().needs().dispensable) == {"film", "sound", "steps"}


def test_each_channel_has_the_units_of_all_its_steps() -> None:
    recipe, rows = several(), one_cause(50, seed=0)
    model = recipe.build(SEVERAL)
    parts = [
        Batch(*({k: v[place] for k, v in of.items()} for of in (rows.features, rows.present)))
        for place in torch.arange(50).split(16)
    ]
    recipe.measure(model, parts, {})
    held, steps = rows.present["sound"], rows.features[STEPS].double()
    sound = rows.features[SOUND][held].double()
    for name, expected in (
        ("mean", [rows.features[FILM].double().mean(dim=0), sound.mean(dim=0), *5 * [steps.nanmean(dim=(0, 1))]]),
        ("std", [None, sound.std(dim=0, correction=0), None]),
    ):
        found = getattr(model.standardise, name).double().split([7, 9, *5 * [2]] if name == "mean" else [7, 9, 10])
        for own, wanted in zip(found, expected, strict=True):
            if wanted is not None:
                torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-4)


def test_what_padding_and_lacked_arrays_hold_says_nothing() -> None:
    recipe, rows = several(), one_cause(30, seed=0)
    model = recipe.build(SEVERAL)
    recipe.measure(model, [rows], {})
    before = recipe.encode(model, rows, None)
    rows.features[SOUND][~rows.present["sound"]] = torch.inf
    rows.features[STEPS][rows.features[STEPS].isnan()] = 1e9
    assert torch.equal(recipe.encode(model, rows, None)["error"], before["error"])
    rows.features[SOUND][rows.present["sound"]] = torch.inf
    with pytest.raises(TrainingError, match=SOUND):
        recipe.measure(model, [rows], {})


def test_what_is_hidden_in_training_is_rebuilt_from_the_others() -> None:
    recipe, rows = several(modality_dropout=0.5), one_cause(40, seed=0)
    assert recipe.needs().hidden == ("film", "sound", "steps") and several().needs().hidden == ()
    torch.manual_seed(0)
    model = recipe.build(SEVERAL)
    recipe.measure(model, [rows], {})
    whole = recipe.encode(model, rows, None)
    drawn = recipe.encode(model, rows, torch.Generator().manual_seed(0))
    assert torch.equal(several().encode(model, rows, torch.Generator())["error"], whole["error"])
    changed = (drawn["code"] != whole["code"]).any(dim=1)
    assert 0.4 < changed.float().mean() < 1  # but for rows of which nothing is hidden
    with torch.no_grad():  # what rebuilds nothing has the error of all that is known, hidden or not
        for parameter in model.decoder.parameters():
            parameter.zero_()
    errors = [recipe.encode(model, rows, generator)["error"] for generator in (None, torch.Generator())]
    assert torch.equal(*errors)


def test_the_audio_autoencoder_is_the_video_one_on_sound() -> None:
    audio, video = load_settings("audio_ae"), load_settings("video_ae")
    assert audio.train == video.train and audio.extract.features == ("audio",)
    recipe = ReconstructionRecipe(ReconstructionSettings.model_validate(audio.recipe.model_dump()))
    assert recipe.build({"audio/embedding": (768,)}).encoder[0].out_features == 128
    assert recipe.references == published("audio_ae") and several().references == ()
