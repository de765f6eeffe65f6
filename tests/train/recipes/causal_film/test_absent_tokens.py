"""Samples that lack a modality: what stands in its place decides, not what lies in the arrays there."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from weldcache.train.recipes.causal_film.network import CausalFilm, CausalFilmDims, FilmInputs
from weldcache.train.recipes.causal_film.result import Views

MakeBatch = Callable[..., FilmInputs]

PRESENT = torch.tensor([True, False, True, False])
ALL = torch.ones(4, dtype=torch.bool)
MODALITIES = ("video", "audio", "image", "sensor")


@pytest.fixture
def model(small_dims: CausalFilmDims) -> CausalFilm:
    model = CausalFilm(replace(small_dims, absent_tokens=True, moving_target=True)).eval()
    assert model.sensor_modulator is not None
    nn.init.normal_(model.sensor_modulator.head.weight)
    return model


def lacking(inputs: FilmInputs, *modalities: str) -> FilmInputs:
    """The inputs with rows 1 and 3 said to have none of these."""
    return replace(inputs, present={name: PRESENT if name in modalities else ALL for name in MODALITIES})


def with_rubbish(inputs: FilmInputs, modality: str) -> FilmInputs:
    """Other values, padding and views where rows 1 and 3 have none."""

    def spoilt(values: Tensor) -> Tensor:
        rows = values.clone()
        rows[~PRESENT] = True if values.dtype == torch.bool else 7.0
        return rows

    match modality:
        case "audio":
            return replace(inputs, audio=spoilt(inputs.audio), audio_padding=spoilt(inputs.audio_padding))
        case "image":
            no_views = inputs.view_mask & PRESENT[:, None]
            return replace(inputs, patches=tuple(map(spoilt, inputs.patches)), view_mask=no_views)
        case _:
            return replace(inputs, **{modality: spoilt(getattr(inputs, modality))})


def outputs_and_gradients(model: CausalFilm, inputs: FilmInputs) -> tuple[list[Tensor], list[Tensor]]:
    model.zero_grad()
    encodings = (model.encode_process(inputs), *model(inputs))
    outputs = [encoding for encoding in encodings if encoding is not None]
    sum(output.square().sum() for output in outputs[:3]).backward()
    return outputs, [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_lies_in_an_absent_modalitys_place_changes_nothing(
    model: CausalFilm, make_batch: MakeBatch, modality: str
) -> None:
    inputs = lacking(make_batch(), modality)
    outputs, gradients = outputs_and_gradients(model, inputs)
    others, other_gradients = outputs_and_gradients(model, with_rubbish(inputs, modality))
    for mine, other in zip(outputs + gradients, others + other_gradients, strict=True):
        assert mine.isfinite().all()
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("modality", MODALITIES)
def test_absence_shows_in_its_rows_and_only_there(model: CausalFilm, make_batch: MakeBatch, modality: str) -> None:
    inputs = make_batch()
    complete, incomplete = lacking(inputs), lacking(inputs, modality)
    whole = {"z_process": model.encode_process(complete), **model(complete)._asdict()}
    partial = {"z_process": model.encode_process(incomplete), **model(incomplete)._asdict()}
    of_results = {"z_process": False, "z_pred": False, "z_result": True, "z_target": True}
    for name, of_result in of_results.items():
        differs = (whole[name] != partial[name]).any(dim=-1)
        assert torch.equal(differs, ~PRESENT & (of_result == (modality == "image")))


def test_rows_that_have_everything_are_encoded_as_without_tokens(model: CausalFilm, make_batch: MakeBatch) -> None:
    inputs = make_batch()
    for encoding, expected in zip(model(lacking(inputs)), model(inputs), strict=True):
        assert torch.equal(encoding, expected)


def test_an_absent_result_is_the_token_and_gives_it_no_gradient(model: CausalFilm, make_batch: MakeBatch) -> None:
    assert model.absent is not None
    z_result = model(lacking(make_batch(), "image")).z_result
    assert torch.equal(z_result[~PRESENT], model.absent.z_result().expand(2, -1))
    z_result.sum().backward()
    assert model.absent.result.grad is None


def test_tokens_of_video_and_audio_learn_from_rows_that_lack_them(model: CausalFilm, make_batch: MakeBatch) -> None:
    assert model.absent is not None
    model(lacking(make_batch(), "video", "audio")).z_pred.square().sum().backward()
    for token in (model.absent.video, model.absent.audio):
        assert token.grad is not None and (token.grad != 0).any()


def test_absent_sensors_modulate_nothing(model: CausalFilm, make_batch: MakeBatch) -> None:
    inputs = make_batch()
    partial = model(lacking(inputs, "sensor")).z_pred
    assert model.sensor_modulator is not None
    nn.init.zeros_(model.sensor_modulator.head.weight)
    assert torch.equal(partial[~PRESENT], model(lacking(inputs)).z_pred[~PRESENT])


@pytest.mark.parametrize("views", ["max", "mean"])
def test_a_row_that_lacks_everything_is_still_finite(
    small_dims: CausalFilmDims, make_batch: MakeBatch, views: Views
) -> None:
    model = CausalFilm(replace(small_dims, absent_tokens=True, views=views)).eval()
    inputs = with_rubbish(with_rubbish(lacking(make_batch(), *MODALITIES), "audio"), "image")
    outputs, gradients = outputs_and_gradients(model, inputs)
    assert all(values.isfinite().all() for values in outputs + gradients)
    assert torch.equal(outputs[2][1], outputs[2][3])
