"""What Causal-FiLM does to its inputs while training, and that it asks the host for nothing while it does."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from weldcache.train.nn.film_inputs import FilmInputs
from weldcache.train.recipes.causal_film.module import CalibratedCausalFilm
from weldcache.train.recipes.causal_film.recipe import CausalFilmRecipe
from weldcache.train.recipes.recipe import Batch, presence_name

MakeFilm = Callable[..., tuple[CausalFilmRecipe, CalibratedCausalFilm]]

NOTHING = {"feature_mask": 0.0}
EVERYTHING = {"feature_mask": 0.3, "noise": 0.1, "mixup": 0.2, "modality_dropout": 0.3}


def inputs_seen(
    made: tuple[CausalFilmRecipe, CalibratedCausalFilm], batch: Batch, generator: torch.Generator | None
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
    made: tuple[CausalFilmRecipe, CalibratedCausalFilm], batch: Batch, generator: torch.Generator
) -> set[str]:
    plain, augmented = (features_of(inputs_seen(made, batch, drawn)) for drawn in (None, generator))
    return {name for name in plain if not torch.equal(plain[name].float(), augmented[name].float())}


def test_without_a_generator_nothing_is_done(make_film: MakeFilm, film_batch: Batch) -> None:
    made = make_film(train=EVERYTHING)
    seen, plain = features_of(inputs_seen(made, film_batch, None)), features_of(made[1].inputs(film_batch))
    assert all(torch.equal(seen[name], plain[name]) for name in plain)


def test_what_is_turned_off_draws_nothing(make_film: MakeFilm, film_batch: Batch, generator: torch.Generator) -> None:
    state = generator.get_state()
    assert changed_by(make_film(train=NOTHING), film_batch, generator) == set()
    assert torch.equal(generator.get_state(), state)


def test_hides_tokens_of_video_and_audio_alone(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(train={"feature_mask": 0.5})
    assert changed_by(made, film_batch, generator) == {"video", "audio"}
    seen, plain = inputs_seen(made, film_batch, generator).video, film_batch["video/tokens"]
    hidden = (seen == 0).all(dim=-1)
    assert 0.3 < hidden.float().mean() < 0.7
    assert torch.equal(seen[~hidden], plain[~hidden])


@pytest.mark.parametrize("standardise", [True, False])
def test_noise_is_in_units_of_the_training_sets_spread(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator, standardise: bool
) -> None:
    made = make_film(model={"standardise": standardise}, train=NOTHING | {"noise": 0.1})
    assert changed_by(made, film_batch, generator) == {"video", "audio"}
    plain = inputs_seen(made, film_batch, None).video.float()
    draws = torch.cat([inputs_seen(made, film_batch, generator).video - plain for _ in range(20)])
    spread = plain.std(dim=(0, 1), correction=0)
    torch.testing.assert_close(draws.std(dim=(0, 1)), 0.1 * spread, atol=0, rtol=0.15)


def test_mixup_mixes_all_modalities_of_a_row_alike(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(train=NOTHING | {"mixup": 1.0})
    assert changed_by(made, film_batch, generator) == {"video", "audio", "sensor", "block 0", "block 1"}


def test_modality_dropout_hides_modalities_and_never_all(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(train=NOTHING | {"modality_dropout": 0.5})
    present = inputs_seen(made, film_batch, generator).present
    assert present.keys() == {"video", "audio", "image", "sensor"}
    masks = torch.stack(list(present.values()))
    assert 0.2 < masks.float().mean() < 0.8
    assert masks.any(dim=0).all()


def test_everything_follows_the_generator(make_film: MakeFilm, film_batch: Batch) -> None:
    recipe, film = make_film(train=EVERYTHING)
    encodings = [recipe.encode(film, film_batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    for name, first in encodings[0].items():
        assert torch.equal(first, encodings[1][name])
    assert not torch.equal(encodings[0]["z_pred"], encodings[2]["z_pred"])


def test_mixup_leaves_rows_alone_that_lack_a_modality(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator
) -> None:
    made = make_film(train=NOTHING | {"mixup": 1.0})
    present = torch.arange(10) != 4
    partial = {**film_batch, presence_name("audio"): present}
    seen, plain = inputs_seen(made, partial, generator).video, film_batch["video/tokens"]
    same = (seen == plain).flatten(1).all(dim=1)
    assert same[4] and same[5]  # row 5 would have been mixed with row 4
    assert same.sum() < 5


@pytest.mark.parametrize("missing", ["token", "leave_out"])
@pytest.mark.parametrize("target", ["joint", "stop_gradient", "ema"])
def test_neither_encoding_nor_loss_waits_for_the_device(
    make_film: MakeFilm, film_batch: Batch, generator: torch.Generator, missing: str, target: str
) -> None:
    """Tensors without values raise as soon as anyone asks what is in them, or lets a shape depend on it."""
    train = EVERYTHING if missing == "token" else {**EVERYTHING, "modality_dropout": 0.0}
    model = {"missing": missing, "sensor_encoder": "gru"}  # the scan on the CPU is not torch's
    recipe, film = make_film(model=model, train=train, target=target, variance=1.0, gram_over="features")
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        batch = {name: mode.from_tensor(values) for name, values in film_batch.items()}
        encodings = recipe.encode(film.train(), batch, generator)
        recipe.loss(film, encodings)["total"].backward()
        scores = recipe.score(film, encodings)
    assert scores.shape == (10,)
    with pytest.raises(Exception, match="local_scalar"), mode:
        float(scores[0])
