"""The Causal-FiLM recipe on cached features: what it asks for, its statistics, encodings, loss and score."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from weldcache.errors import SettingsError
from weldcache.settings import Settings
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.causal_film.settings import CausalFilmSettings
from weldcache.train.recipes.recipe import Trained, make_recipe
from weldcache.train.settings import RECIPES
from weldcache.train.types import Batch, Encodings, mapped

MakeFilm = Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]

VIDEO, AUDIO, AUDIO_LENGTH = "video/tokens", "audio/tokens", "audio/tokens_length"
SENSOR, TEXT = "sensor/values", "text/prompt"
PATCHES = ["image/block_2/patch_tokens", "image/block_6/patch_tokens"]
VIEWS = ["image/block_2/views_present", "image/block_6/views_present"]


def recipe_of(**settings: object) -> CausalFilmRecipe:
    return CausalFilmRecipe(CausalFilmSettings.model_validate(settings))


def scores_of(made: tuple[CausalFilmRecipe, StandardisedCausalFilm], film_batch: Batch) -> Tensor:
    recipe, film = made
    return recipe.predict(film, recipe.encode(film, film_batch, None)).score


def rows_of(encodings: Encodings, rows: slice) -> Encodings:
    return {name: encoding[rows] for name, encoding in encodings.items()}


def rows_of_batch(batch: Batch, rows: slice) -> Batch:
    return mapped(lambda tensor: tensor[rows], batch)


def test_is_a_recipe() -> None:
    assert isinstance(make_recipe(Settings().recipe), Trained)


def test_an_unknown_recipe_names_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"no recipe 'film'.*causal_film"):
        RECIPES.section("film")


def test_the_module_holds_the_statistics_of_the_rows_it_was_given(make_film: MakeFilm, film_batch: Batch) -> None:
    _, film = make_film()
    assert film.sensor is not None
    steps = film_batch.features[SENSOR].reshape(-1, 6).numpy().astype(np.float64)
    np.testing.assert_allclose(film.sensor.mean.numpy(), steps.mean(0), rtol=1e-6)
    np.testing.assert_allclose(film.sensor.std.numpy()[:4], steps.std(0)[:4], rtol=1e-5)
    assert film.sensor.std[4] == 1  # the channel that never changes
    assert {"sensor.mean", "sensor.std", "text_anchor"} <= film.state_dict().keys()


def test_tokens_are_standardised_where_the_settings_ask_for_it(make_film: MakeFilm, film_batch: Batch) -> None:
    _, plain = make_film()
    assert all(map(torch.equal, plain.inputs(film_batch).patches, [film_batch.features[name] for name in PATCHES]))
    _, film = make_film({"standardise": True})
    inputs = film.inputs(film_batch)
    lengths = film_batch.features[AUDIO_LENGTH]
    real_audio = torch.cat([row[:length] for row, length in zip(inputs.audio, lengths, strict=True)])
    real_views = [block[inputs.view_mask].flatten(0, 1) for block in inputs.patches]
    for tokens in (inputs.video.flatten(0, 1), real_audio, *real_views):
        width = tokens.shape[-1]
        torch.testing.assert_close(tokens.mean(dim=0), torch.zeros(width), atol=1e-4, rtol=0)
        torch.testing.assert_close(tokens.std(dim=0, correction=0), torch.ones(width), atol=1e-3, rtol=0)


def test_statistics_do_not_depend_on_how_the_rows_come(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film({"standardise": True})
    whole = {name: tensor.clone() for name, tensor in film.state_dict().items()}
    parts = [rows_of_batch(film_batch, rows) for rows in (slice(0, 3), slice(3, 4), slice(4, 10))]
    recipe.measure(film, parts, {})
    for name, tensor in film.state_dict().items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("model", "train", "measured"),
    [
        ({}, {}, {SENSOR}),
        ({"standardise": True}, {}, {SENSOR, VIDEO, AUDIO, *PATCHES}),
        ({}, {"noise": 0.1}, {SENSOR, VIDEO, AUDIO}),
        ({"sensor_normalisation": "sample"}, {}, set()),
        ({"film": "off", "standardise": True}, {}, {VIDEO, AUDIO, *PATCHES}),
        ({"film": "off"}, {"noise": 0.1}, {VIDEO, AUDIO}),
    ],
)
def test_asks_for_no_more_than_it_measures(
    make_film: MakeFilm,
    film_batch: Batch,
    model: Mapping[str, object],
    train: Mapping[str, object],
    measured: set[str],
) -> None:
    recipe, film = make_film({**model, **train})
    assert {request.name for request in film.measured()} == measured
    assert set(recipe.needs().measures) - {AUDIO_LENGTH, *VIEWS} == measured
    recipe.measure(film, [film_batch.only(recipe.needs().measures)], {})


def test_features_are_found_under_the_names_that_they_are_stored_as() -> None:
    recipe = recipe_of(image="image_dinov2", audio="audio_b", blocks=(8,))
    assert [request.name for request in recipe.needs().features] == [
        "video/tokens",
        "audio_b/tokens",
        "audio_b/tokens_length",
        "image_dinov2/block_8/patch_tokens",
        "image_dinov2/block_8/views_present",
        "sensor/values",
    ]
    assert recipe.needs().modalities == {
        "video": ("video",),
        "audio": ("audio_b",),
        "image": ("image_dinov2/block_8",),
        "sensor": ("sensor",),
    }


def test_sensors_are_asked_for_only_where_film_uses_them() -> None:
    recipe = recipe_of(film="off")
    assert "sensor" not in {request.feature_set for request in recipe.needs().features}
    assert "sensor" not in recipe.needs().modalities


def test_a_store_without_sensors_can_be_used_without_film() -> None:
    recipe = recipe_of()
    assert "--set recipe.film=off" in recipe.advice(["sensor"], held=["video"])
    assert "--set recipe.film=off" not in recipe.advice(["audio"], held=["video"])


def test_nothing_is_optional_where_incomplete_welds_are_left_out() -> None:
    recipes = {missing: recipe_of(missing=missing) for missing in ("token", "leave_out")}
    assert all(request.optional for request in recipes["token"].needs().features)
    assert not any(request.optional for request in recipes["leave_out"].needs().features)
    assert recipes["leave_out"].needs().modalities == recipes["token"].needs().modalities
    assert recipes["token"].needs().dispensable == recipes["token"].needs().modalities
    assert recipes["leave_out"].needs().dispensable == {}


def test_set_points_are_not_normalised_away(make_film: MakeFilm, film_batch: Batch) -> None:
    """Two welds whose sensors differ by a constant only have different encodings, unless each is its own measure."""
    _, film = make_film()
    assert film.sensor is not None
    shifted = film_batch.beside(Batch({SENSOR: film_batch.features[SENSOR] + 2 * film.sensor.std}))

    def moved(film: StandardisedCausalFilm) -> float:
        encoded, other = (film.film.encode_process(film.inputs(batch)) for batch in (shifted, film_batch))
        return float((encoded - other).abs().max().detach())

    _, by_weld = make_film({"sensor_normalisation": "sample"})
    assert moved(film) > 1e-3
    assert moved(by_weld) < 1e-4


def test_encodings_are_single_precision_and_hold_all_that_is_asked_of_them(
    make_film: MakeFilm, film_batch: Batch
) -> None:
    recipe, film = make_film(target="ema", variance=1.0)
    encodings = recipe.encode(film, film_batch, None)
    assert encodings.keys() == {"z_pred", "z_result", "z_target", "result_present"}
    assert all(encoding.dtype == torch.float32 and len(encoding) == 10 for encoding in encodings.values())
    part = rows_of(encodings, slice(2, 8))
    assert torch.equal(recipe.predict(film, part).score, recipe.predict(film, encodings).score[2:8])
    assert recipe.loss(film, part, {}).total.isfinite()
    embeddings = recipe.loss(film, part, {}).watched
    assert torch.equal(embeddings["z_result"], encodings["z_result"][2:8])
    assert torch.equal(embeddings["z_pred"], encodings["z_pred"][2:8])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("encoder", ["mamba", "gru"])
def test_half_precision_arithmetic_gives_single_precision_encodings(
    make_film: MakeFilm, film_batch: Batch, encoder: str, dtype: torch.dtype
) -> None:
    recipe, film = make_film({"sensor_encoder": encoder}, target="ema")
    with torch.autocast("cpu", dtype=dtype):
        encodings = recipe.encode(film, film_batch, None)
    for name, expected in recipe.encode(film, film_batch, None).items():
        assert encodings[name].dtype == torch.float32
        torch.testing.assert_close(encodings[name], expected, rtol=0.1, atol=0.1)


def test_the_score_is_cosine_distance_and_ten_times_the_worst_half(make_film: MakeFilm, film_batch: Batch) -> None:
    _, film = made = make_film()
    output = film(film.inputs(film_batch))
    errors = (output.z_pred - output.z_result).abs().sort(dim=-1, descending=True).values[:, :8].mean(dim=-1)
    cosine = torch.nn.functional.cosine_similarity(output.z_pred, output.z_result)
    torch.testing.assert_close(scores_of(made, film_batch), 1 - cosine + 10 * errors)


@pytest.mark.parametrize("name", [AUDIO, *PATCHES])
def test_what_is_padding_does_not_count(make_film: MakeFilm, film_batch: Batch, name: str) -> None:
    made = make_film()
    changed = film_batch.features[name].clone()
    if name == AUDIO:
        for row, length in enumerate(film_batch.features[AUDIO_LENGTH].tolist()):
            changed[row, length:] = 9.0
    else:
        changed[film_batch.features[VIEWS[0]] == 0] = 9.0
    assert not torch.equal(changed, film_batch.features[name])
    torch.testing.assert_close(scores_of(made, film_batch), scores_of(made, film_batch.beside(Batch({name: changed}))))


def test_a_view_that_one_block_lacks_does_not_count(make_film: MakeFilm, film_batch: Batch) -> None:
    """Blocks that were extracted at different times may have seen different photographs."""
    made = make_film()
    everywhere = film_batch.beside(Batch({name: torch.ones_like(film_batch.features[name]) for name in VIEWS}))
    lacking = everywhere.beside(Batch({VIEWS[1]: film_batch.features[VIEWS[1]]}))
    torch.testing.assert_close(scores_of(made, lacking), scores_of(made, film_batch))
    assert not torch.allclose(scores_of(made, lacking), scores_of(made, everywhere))


def test_a_score_does_not_depend_on_the_company(make_film: MakeFilm, film_batch: Batch) -> None:
    made = make_film()
    for lacking in (None, "audio", "image/block_6"):
        partial = film_batch
        if lacking is not None:
            partial = film_batch.beside(Batch({}, {lacking: torch.arange(10) % 3 > 0}))
        together = scores_of(made, partial)
        alone = [scores_of(made, rows_of_batch(partial, slice(row, row + 1))) for row in range(10)]
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)
        assert together.std() > 0


def test_the_default_settings_build_the_published_model() -> None:
    """13,508,864 parameters, plus one for each learned exponent and three tokens; the text is as wide as the model."""
    shapes = {
        VIDEO: (16, 1024),
        AUDIO: (40, 768),
        AUDIO_LENGTH: (),
        "image/block_10/patch_tokens": (5, 196, 1280),
        "image/block_21/patch_tokens": (5, 196, 1280),
        SENSOR: (128, 6),
        TEXT: (512,),
    }
    with torch.device("meta"):
        film = recipe_of().build(shapes)
    assert isinstance(film, StandardisedCausalFilm) and film.film.absent is not None
    tokens = sum(parameter.numel() for parameter in film.film.absent.parameters())
    assert tokens == 3 * 512
    assert sum(parameter.numel() for parameter in film.parameters()) == 13_508_864 + 2 + tokens


@pytest.mark.parametrize("learnable", [True, False])
@pytest.mark.parametrize("target", ["joint", "ema"])
def test_the_exponent_of_gem_is_trained_or_not(make_film: MakeFilm, learnable: bool, target: str) -> None:
    _, film = make_film({"learnable_gem": learnable}, target=target)
    exponents = {name: parameter for name, parameter in film.named_parameters() if name.endswith(".p")}
    assert len(exponents) == (4 if target == "ema" else 2)
    for name, exponent in exponents.items():
        assert exponent.requires_grad is (learnable and "target_encoder" not in name)


def test_settings_that_contradict_one_another_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"modality_dropout.*recipe\.missing=token"):
        recipe_of(missing="leave_out", modality_dropout=0.1)
    with pytest.raises(SettingsError, match="nothing to train on"):
        recipe_of(loss={"cosine": 0, "l1": 0, "gram": 0, "text": 0})


def test_views_that_blocks_do_not_share_count_as_no_photographs(make_film: MakeFilm, film_batch: Batch) -> None:
    """A row whose two blocks saw different photographs has none; its maximum over views would be over nothing."""
    recipe, film = make_film()
    views = {name: torch.ones_like(film_batch.features[name]) for name in VIEWS}
    views[VIEWS[0]][4] = torch.tensor([1, 0])
    views[VIEWS[1]][4] = torch.tensor([0, 1])
    encodings = recipe.encode(film, film_batch.beside(Batch(views)), None)
    assert encodings["result_present"].tolist() == [float(row != 4) for row in range(10)]
    assert encodings["z_result"].isfinite().all()
