"""The Causal-FiLM recipe on cached features: statistics, masking, loss and score."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.cache.store import FeatureStore
from weldcache.configs.schema import LossSettings, ModelSettings, Settings
from weldcache.errors import SettingsError
from weldcache.train.recipes.causal_film import CalibratedCausalFilm, CausalFilmRecipe
from weldcache.train.recipes.film_features import film_features
from weldcache.train.recipes.recipe import Recipe
from weldcache.train.recipes.registry import make_recipe
from weldcache.train.requests import load_constants, shapes_for
from weldcache.train.resident import load_resident

MakeRecipe = Callable[..., tuple[CausalFilmRecipe, CalibratedCausalFilm]]

BLOCKS = {"model": {"d_model": 16, "sensor_hidden": 8, "blocks": (2, 6)}}
FEATURES = film_features(Settings.model_validate(BLOCKS))
VIDEO, AUDIO, SENSOR = FEATURES.video.name, FEATURES.audio.name, FEATURES.sensor.name
AUDIO_LENGTH, TEXT = FEATURES.audio_length.name, FEATURES.text
PATCHES, VIEWS = [block.name for block in FEATURES.patches], [block.name for block in FEATURES.views]


@pytest.fixture
def batch(toy_store: FeatureStore) -> Mapping[str, Tensor]:
    requests = FEATURES.requests()
    return load_resident(toy_store, np.arange(10), requests=requests, device=torch.device("cpu")).tensors


@pytest.fixture
def make(toy_store: FeatureStore, batch: Mapping[str, Tensor]) -> MakeRecipe:
    """A recipe and its calibrated module in evaluation mode; keywords replace settings."""

    def made(*, model: Mapping[str, object] = {}, mask: float = 0.5, **loss: object) -> tuple[object, object]:
        shape = ModelSettings.model_validate(BLOCKS["model"] | dict(model))
        recipe = CausalFilmRecipe(FEATURES, model=shape, loss=LossSettings.model_validate(loss), feature_mask=mask)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            film = recipe.build(shapes_for(toy_store, recipe))
        torch.nn.init.normal_(film.film.sensor_modulator.head.weight, std=0.1, generator=torch.Generator())
        recipe.calibrate(film, [batch], load_constants(toy_store, recipe))
        return recipe, film.eval()

    return made  # type: ignore[return-value]


def test_is_a_recipe() -> None:
    assert isinstance(make_recipe("causal_film", Settings()), Recipe)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match="causal_film"):
        make_recipe("film", Settings())


def test_the_module_holds_the_statistics_of_the_rows_it_was_given(
    make: MakeRecipe, batch: Mapping[str, Tensor]
) -> None:
    _, film = make()
    steps = batch[SENSOR].reshape(-1, 6).numpy().astype(np.float64)
    np.testing.assert_allclose(film.sensor.mean.numpy(), steps.mean(0), rtol=1e-6)
    np.testing.assert_allclose(film.sensor.std.numpy()[:4], steps.std(0)[:4], rtol=1e-5)
    assert film.sensor.std[4] == 1  # the channel that never changes
    assert {"sensor.mean", "sensor.std", "text_anchor"} <= film.state_dict().keys()


def test_tokens_are_standardised_where_the_settings_ask_for_it(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    _, plain = make()
    assert all(map(torch.equal, plain.inputs(batch)["patches"], [batch[name] for name in PATCHES]))
    _, film = make(model={"standardise": True})
    audio = film.inputs(batch)["audio"]
    for patches in film.inputs(batch)["patches"]:
        width = patches.shape[-1]
        torch.testing.assert_close(patches.mean(dim=(0, 1, 2)), torch.zeros(width), atol=1e-4, rtol=0)
        torch.testing.assert_close(patches.std(dim=(0, 1, 2), correction=0), torch.ones(width), atol=1e-3, rtol=0)
    real = torch.cat([row[:length] for row, length in zip(audio, batch[AUDIO_LENGTH], strict=True)])
    torch.testing.assert_close(real.mean(dim=0), torch.zeros(audio.shape[-1]), atol=1e-4, rtol=0)


def test_statistics_do_not_depend_on_how_the_rows_come(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make(model={"standardise": True})
    whole = {name: tensor.clone() for name, tensor in film.state_dict().items()}
    parts = [{name: batch[name][start:stop] for name in recipe.measures()} for start, stop in ((0, 3), (3, 4), (4, 10))]
    recipe.calibrate(film, parts, {})
    for name, tensor in film.state_dict().items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("standardise", "measured"), [(False, {SENSOR}), (True, {SENSOR, VIDEO, AUDIO, *PATCHES})])
def test_asks_for_no_more_than_it_measures(
    make: MakeRecipe, batch: Mapping[str, Tensor], standardise: bool, measured: set[str]
) -> None:
    recipe, film = make(model={"standardise": standardise})
    assert film.standardisers().keys() == measured
    assert set(recipe.measures()) - {AUDIO_LENGTH} == measured
    recipe.calibrate(film, [{name: batch[name] for name in recipe.measures()}], {})


def test_features_are_found_under_the_names_that_they_are_stored_as() -> None:
    settings = Settings.model_validate(
        {"image": {"store_as": "image_dinov2"}, "audio": {"store_as": "audio_b"}, "model": {"blocks": (8,)}}
    )
    recipe = make_recipe("causal_film", settings)
    assert [request.name for request in recipe.requires()] == [
        "video/tokens",
        "audio_b/tokens",
        "audio_b/tokens_length",
        "image_dinov2/block_8/patch_tokens",
        "image_dinov2/block_8/views_present",
        "sensor/values",
    ]


def test_set_points_are_not_normalised_away(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    """Two welds whose sensors differ by a constant only have different encodings."""
    _, film = make()
    shifted = {**batch, SENSOR: batch[SENSOR] + 2 * film.sensor.std}
    assert (film(shifted).z_process - film(batch).z_process).abs().max() > 1e-3


def test_the_total_is_the_weighted_sum_of_its_terms(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make(cosine=2.0, l1=3.0, gram=5.0, text=7.0)
    losses = recipe.loss(film, batch, None)
    expected = 2 * losses["cosine"] + 3 * losses["l1"] + 5 * losses["gram"] + 7 * losses["text"]
    torch.testing.assert_close(losses["total"], expected)
    output = film(batch)
    torch.testing.assert_close(losses["l1"], (output.z_pred - output.z_result).abs().mean())


def test_the_text_anchor_is_the_stores(make: MakeRecipe, batch: Mapping[str, Tensor], toy_store: FeatureStore) -> None:
    recipe, film = make(text=0.1)
    assert film.text_anchor.tolist() == toy_store.constant(TEXT).tolist()
    predicted = film.film.text_head(film(batch).z_pred).detach().numpy()
    anchor = toy_store.constant(TEXT)
    cosines = predicted @ anchor / np.linalg.norm(predicted, axis=1) / np.linalg.norm(anchor)
    assert recipe.loss(film, batch, None)["text"].item() == pytest.approx(float(1 - cosines.mean()), rel=1e-4)


def test_without_text_loss_nothing_of_text_is_needed(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make(text=0)
    assert recipe.constants() == ()
    assert "text" not in recipe.loss(film, batch, None)
    assert not list(film.film.text_head.parameters())


def test_kinds_of_terms_differ(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    def term(name: str, **loss: object) -> float:
        recipe, film = make(**loss)
        return float(recipe.loss(film, batch, None)[name].detach())

    l1 = [term("l1", l1_kind=kind) for kind in ("smooth_l1", "l1", "topk_l1")]
    assert l1 == sorted(l1) and len(set(l1)) == 3
    assert term("gram", gram_over="batch") != term("gram", gram_over="features")


def test_hides_tokens_while_training_and_only_of_video_and_audio(
    make: MakeRecipe, batch: Mapping[str, Tensor], generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, film = make(mask=0.5)
    seen: list[Mapping[str, Tensor]] = []
    forward = film.film.forward
    monkeypatch.setattr(film.film, "forward", lambda **given: (seen.append(given), forward(**given))[1])
    recipe.loss(film, batch, generator)
    recipe.loss(film, batch, None)
    masked, plain = seen
    assert torch.equal(plain["video"], batch[VIDEO]) and torch.equal(plain["audio"], batch[AUDIO])
    assert all(map(torch.equal, plain.pop("patches"), masked.pop("patches")))
    changed = {name for name in plain if not torch.equal(masked[name], plain[name])}
    assert changed == {"video", "audio"}
    hidden = (masked["video"] == 0).all(dim=-1)
    assert 0.3 < hidden.float().mean() < 0.7
    assert torch.equal(masked["video"][~hidden], plain["video"][~hidden])


def test_the_mask_follows_the_generator(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make()
    totals = [recipe.loss(film, batch, torch.Generator().manual_seed(seed))["total"] for seed in (1, 1, 2)]
    assert torch.equal(totals[0], totals[1])
    assert not torch.equal(totals[0], totals[2])


@pytest.mark.parametrize("name", [AUDIO, *PATCHES])
def test_what_is_padding_does_not_count(make: MakeRecipe, batch: Mapping[str, Tensor], name: str) -> None:
    recipe, film = make()
    changed = batch[name].clone()
    if name == AUDIO:
        for row, length in enumerate(batch[AUDIO_LENGTH].tolist()):
            changed[row, length:] = 9.0
    else:
        changed[batch[VIEWS[0]] == 0] = 9.0
    assert not torch.equal(changed, batch[name])
    scores, others = recipe.score(film, batch), recipe.score(film, {**batch, name: changed})
    torch.testing.assert_close(scores, others)


def test_a_view_that_one_block_lacks_does_not_count(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    """Blocks that were extracted at different times may have seen different photographs."""
    recipe, film = make()
    everywhere = {**batch, **{name: torch.ones_like(batch[name]) for name in VIEWS}}
    lacking = {**everywhere, VIEWS[1]: batch[VIEWS[1]]}
    torch.testing.assert_close(recipe.score(film, lacking), recipe.score(film, batch))
    assert not torch.allclose(recipe.score(film, lacking), recipe.score(film, everywhere))


def test_a_score_does_not_depend_on_the_company(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make()
    together = recipe.score(film, batch)
    alone = torch.cat([recipe.score(film, {k: v[row : row + 1] for k, v in batch.items()}) for row in range(10)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)
    assert together.std() > 0


def test_what_is_watched_for_collapse_is_the_result(make: MakeRecipe, batch: Mapping[str, Tensor]) -> None:
    recipe, film = make()
    assert torch.equal(recipe.embed(film, batch), film(batch).z_result)


def test_the_default_settings_build_the_published_model() -> None:
    """13,508,864 parameters, plus one for each learned exponent; the text vector is as wide as the model."""
    shapes = {
        VIDEO: (16, 1024),
        AUDIO: (40, 768),
        AUDIO_LENGTH: (),
        "image/block_10/patch_tokens": (5, 196, 1280),
        "image/block_21/patch_tokens": (5, 196, 1280),
        SENSOR: (128, 6),
        TEXT: (512,),
    }
    with torch.random.fork_rng(devices=[]):
        film = make_recipe("causal_film", Settings()).build(shapes)
    assert sum(parameter.numel() for parameter in film.parameters()) == 13_508_864 + 2


@pytest.mark.parametrize("learnable", [True, False])
def test_the_exponent_of_gem_is_trained_or_not(make: MakeRecipe, learnable: bool) -> None:
    _, film = make(model={"learnable_gem": learnable})
    exponents = [parameter for name, parameter in film.named_parameters() if name.endswith(".p")]
    assert len(exponents) == 2
    assert all(exponent.requires_grad is learnable for exponent in exponents)
