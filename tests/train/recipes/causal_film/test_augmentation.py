"""What is done to Causal-FiLM's inputs while training: which settings draw what, and how rows are mixed."""

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from weldcache.train.recipes.causal_film.augmentation import mix
from weldcache.train.recipes.causal_film.module import StandardisedCausalFilm
from weldcache.train.recipes.causal_film.network import FilmInputs
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.types import Batch, mapped

MakeBatch = Callable[..., FilmInputs]
MakeFilm = Callable[..., tuple[CausalFilmRecipe, StandardisedCausalFilm]]

NOTHING = {"feature_mask": 0.0}
EVERYTHING = {"feature_mask": 0.3, "noise": 0.1, "mixup": 0.2, "modality_dropout": 0.3}


def inputs_seen(
    made: tuple[CausalFilmRecipe, StandardisedCausalFilm], batch: Batch, generator: torch.Generator | None
) -> FilmInputs:
    """What the film is given."""
    recipe, film = made
    with patch.object(film.film, "forward", wraps=film.film.forward) as forward:
        recipe.encode(film, batch, generator)
    (inputs,) = forward.call_args.args
    assert isinstance(inputs, FilmInputs)
    return inputs


def features_of(inputs: FilmInputs) -> dict[str, Tensor]:
    assert inputs.sensor is not None
    blocks = {f"block {position}": block for position, block in enumerate(inputs.patches)}
    return {"video": inputs.video, "audio": inputs.audio, "sensor": inputs.sensor, **blocks}


def changed_by(
    made: tuple[CausalFilmRecipe, StandardisedCausalFilm], batch: Batch, generator: torch.Generator
) -> set[str]:
    plain, augmented = (features_of(inputs_seen(made, batch, drawn)) for drawn in (None, generator))
    return {name for name in plain if not torch.equal(plain[name].float(), augmented[name].float())}


def test_without_a_generator_nothing_is_done(make_film: MakeFilm, film_batch: Batch) -> None:
    made = make_film(EVERYTHING)
    seen, plain = features_of(inputs_seen(made, film_batch, None)), features_of(made[1].inputs(film_batch))
    assert all(torch.equal(seen[name], plain[name]) for name in plain)


def test_what_is_turned_off_draws_nothing(make_film: MakeFilm, film_batch: Batch, generator: torch.Generator) -> None:
    state = generator.get_state()
    assert changed_by(make_film(NOTHING), film_batch, generator) == set()
    assert torch.equal(generator.get_state(), state)


def test_hides_tokens_of_video_and_audio_alone(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film({"feature_mask": 0.5})
    assert changed_by(made, film_batch, generator) == {"video", "audio"}
    seen, plain = inputs_seen(made, film_batch, generator).video, film_batch.features["video/tokens"]
    hidden = (seen == 0).all(dim=-1)
    assert 0.3 < hidden.float().mean() < 0.7
    assert torch.equal(seen[~hidden], plain[~hidden])


@pytest.mark.parametrize("standardise", [True, False])
def test_noise_is_in_units_of_the_training_sets_spread(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator, standardise: bool
) -> None:
    made = make_film({"standardise": standardise} | NOTHING | {"noise": 0.1})
    assert changed_by(made, film_batch, generator) == {"video", "audio"}
    plain = inputs_seen(made, film_batch, None).video.float()
    draws = torch.cat([inputs_seen(made, film_batch, generator).video - plain for _ in range(20)])
    spread = plain.std(dim=(0, 1), correction=0)
    torch.testing.assert_close(draws.std(dim=(0, 1)), 0.1 * spread, atol=0, rtol=0.15)


def test_mixup_mixes_all_modalities_of_a_row_alike(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(NOTHING | {"mixup": 1.0})
    assert changed_by(made, film_batch, generator) == {"video", "audio", "sensor", "block 0", "block 1"}


def test_modality_dropout_hides_modalities_and_never_all(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(NOTHING | {"modality_dropout": 0.5})
    present = inputs_seen(made, film_batch, generator).present
    assert present.keys() == {"video", "audio", "image", "sensor"}
    masks = torch.stack(list(present.values()))
    assert 0.2 < masks.float().mean() < 0.8
    assert masks.any(dim=0).all()


def test_everything_follows_the_generator(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film(EVERYTHING)
    encodings = [recipe.encode(film, film_batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    for name, first in encodings[0].items():
        assert torch.equal(first, encodings[1][name])
    assert not torch.equal(encodings[0]["z_pred"], encodings[2]["z_pred"])


def test_mixup_leaves_rows_alone_that_lack_a_modality(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(NOTHING | {"mixup": 1.0})
    present = torch.arange(10) != 4
    partial = film_batch.beside(Batch({}, {"audio": present}))
    seen, plain = inputs_seen(made, partial, generator).video, film_batch.features["video/tokens"]
    same = (seen == plain).flatten(1).all(dim=1)
    assert same[4] and same[5]  # row 5 would have been mixed with row 4
    assert same.sum() < 5


@pytest.mark.parametrize(("missing", "target"), [("token", "joint"), ("leave_out", "stop_gradient"), ("token", "ema")])
def test_neither_encoding_nor_loss_waits_for_the_device(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator, missing: str, target: str
) -> None:
    """Tensors without values raise as soon as anyone asks what is in them, or lets a shape depend on it."""
    train = EVERYTHING if missing == "token" else {**EVERYTHING, "modality_dropout": 0.0}
    model = {"missing": missing, "sensor_encoder": "gru"}  # the scan on the CPU is not torch's
    recipe, film = make_film(model | train, target=target, variance=1.0, gram_over="features")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        batch = mapped(mode.from_tensor, film_batch)
        encodings = recipe.encode(film.train(), batch, generator)
        recipe.loss(film, encodings, {}).total.backward()
        scores = recipe.predict(film, encodings).score
    assert scores.shape == (10,)
    with pytest.raises(Exception, match="local_scalar"), mode:
        float(scores[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_share_of_one_is_the_identity(make_batch: MakeBatch, dtype: torch.dtype) -> None:
    inputs = make_batch()
    inputs = replace(inputs, video=inputs.video.to(dtype), patches=tuple(block.to(dtype) for block in inputs.patches))
    mixed = mix(inputs, shares=torch.ones(4))
    for name in ("video", "audio", "sensor"):
        assert torch.equal(getattr(mixed, name), getattr(inputs, name))
    assert all(map(torch.equal, mixed.patches, inputs.patches))
    assert mixed.video.dtype == dtype


def test_rows_are_mixed_alike_in_all_modalities_with_the_row_before(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    assert inputs.sensor is not None
    mixed = mix(inputs, shares=torch.tensor([1.0, 0.25, 0.5, 0.0]))
    assert mixed.sensor is not None
    before = (inputs.video, inputs.sensor, *inputs.patches, inputs.audio[:, :5])
    after = (mixed.video, mixed.sensor, *mixed.patches, mixed.audio[:, :5])
    for values, blend in zip(before, after, strict=True):
        torch.testing.assert_close(blend[0], values[0])
        torch.testing.assert_close(blend[1], 0.25 * values[1] + 0.75 * values[0])
        torch.testing.assert_close(blend[2], 0.5 * values[2] + 0.5 * values[1])
        torch.testing.assert_close(blend[3], values[2])


def test_large_half_precision_values_do_not_overflow(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0])[:, None, None]
    inputs = replace(inputs, video=(60_000 * signs * torch.ones_like(inputs.video)).half())
    mixed = mix(inputs, shares=torch.full((4,), 0.75)).video
    torch.testing.assert_close(mixed.float(), 30_000 * signs.expand_as(mixed))


def test_what_the_partner_lacks_is_not_mixed_in(make_batch: MakeBatch) -> None:
    inputs = make_batch()
    inputs.audio_padding[1] = torch.arange(7) > 1  # the partner of row 2 has two tokens
    inputs.view_mask[1, 2] = False
    mixed = mix(inputs, shares=torch.zeros(4))
    assert torch.equal(mixed.audio[2, :2], inputs.audio[1, :2])
    assert torch.equal(mixed.audio[2, 2:], inputs.audio[2, 2:])
    for block, blend in zip(inputs.patches, mixed.patches, strict=True):
        assert torch.equal(blend[2, :2], block[1, :2])
        assert torch.equal(blend[2, 2], block[2, 2])
    assert mixed.audio_padding is inputs.audio_padding and mixed.view_mask is inputs.view_mask


def test_incomplete_rows_and_those_with_an_incomplete_partner_stay(make_batch: MakeBatch) -> None:
    present = {"video": torch.ones(4).bool(), "image": torch.tensor([True, False, True, True])}
    inputs = replace(make_batch(), present=present)
    mixed = mix(inputs, shares=torch.zeros(4))
    assert torch.equal(mixed.video[1:3], inputs.video[1:3])
    assert torch.equal(mixed.video[3], inputs.video[2])
    assert torch.equal(mixed.video[0], inputs.video[3])
