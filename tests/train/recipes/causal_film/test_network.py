"""Causal-FiLM as a whole: the published parameter counts, what its outputs depend on."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from weldcache.train.recipes.causal_film.loss import anomaly_score, cosine_loss, gram_loss, l1_loss, top_absolute_error
from weldcache.train.recipes.causal_film.network import (
    CausalFilm,
    CausalFilmDims,
    FilmInputs,
)

MakeBatch = Callable[..., FilmInputs]


def count_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def encodings(model: CausalFilm, inputs: FilmInputs) -> tuple[Tensor, Tensor, Tensor]:
    output = model(inputs)
    return model.encode_process(inputs), output.z_result, output.z_pred


def with_tokens_of(inputs: FilmInputs, dtype: torch.dtype) -> FilmInputs:
    patches = tuple(block.to(dtype) for block in inputs.patches)
    return replace(inputs, video=inputs.video.to(dtype), audio=inputs.audio.to(dtype), patches=patches)


def build_on_meta(dims: CausalFilmDims) -> CausalFilm:
    with torch.device("meta"):
        return CausalFilm(dims)


@pytest.mark.parametrize(("width", "sensor_hidden", "expected"), [(512, 128, 13_508_864), (384, 96, 10_170_208)])
def test_parameter_counts_are_those_of_the_original(width: int, sensor_hidden: int, expected: int) -> None:
    dims = CausalFilmDims(width=width, sensor_hidden=sensor_hidden, poolings=("mean", "max"))
    assert count_parameters(build_on_meta(dims)) == expected
    assert count_parameters(build_on_meta(replace(dims, poolings=("gem", "max")))) == expected + 1
    assert count_parameters(build_on_meta(replace(dims, poolings=("gem", "gem")))) == expected + 2


def test_text_head_is_counted_apart() -> None:
    dims = CausalFilmDims(width=384, sensor_hidden=96, text_width=512)
    without = count_parameters(build_on_meta(replace(dims, text_width=None)))
    assert count_parameters(build_on_meta(dims)) == without + 384 * 512 + 512


def test_absent_tokens_are_counted_apart_and_leave_the_other_weights_as_they_are(small_dims: CausalFilmDims) -> None:
    def built(absent_tokens: bool) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return CausalFilm(replace(small_dims, absent_tokens=absent_tokens)).state_dict()

    without, having = built(False), built(True)
    assert having.keys() - without.keys() == {"absent.video", "absent.audio", "absent.result"}
    assert sum(having[name].numel() for name in having.keys() - without.keys()) == 3 * small_dims.width
    assert all(torch.equal(having[name], weight) for name, weight in without.items())


def test_defaults_are_the_published_model() -> None:
    assert count_parameters(build_on_meta(CausalFilmDims())) == 13_508_866


@pytest.fixture
def model(small_dims: CausalFilmDims) -> CausalFilm:
    """A model whose FiLM has left the identity, without dropout."""
    model = CausalFilm(small_dims).eval()
    nn.init.normal_(model.sensor_modulator.head.weight)
    return model


def test_shapes(model: CausalFilm, make_batch: MakeBatch) -> None:
    for batch in (1, 4):
        z_process, z_result, z_pred = encodings(model, make_batch(batch))
        assert z_process.shape == z_result.shape == z_pred.shape == (batch, 16)
        assert model.text_head(z_pred).shape == (batch, 8)


def test_rows_do_not_mix(model: CausalFilm, make_batch: MakeBatch) -> None:
    batch = make_batch()
    row = FilmInputs(
        video=batch.video[2:3],
        audio=batch.audio[2:3],
        audio_padding=batch.audio_padding[2:3],
        sensor=None if batch.sensor is None else batch.sensor[2:3],
        patches=tuple(block[2:3] for block in batch.patches),
        view_mask=batch.view_mask[2:3],
    )
    for encoding, of_row in zip(encodings(model, batch), encodings(model, row), strict=True):
        torch.testing.assert_close(encoding[2:3], of_row)


@pytest.mark.parametrize("name", ["video", "audio", "sensor"])
def test_process_decides_on_the_prediction_alone(model: CausalFilm, make_batch: MakeBatch, name: str) -> None:
    batch = make_batch()
    changed = replace(batch, **{name: getattr(batch, name) + 1})
    before, after = model(batch), model(changed)
    assert not torch.allclose(model.encode_process(batch), model.encode_process(changed))
    assert not torch.allclose(before.z_pred, after.z_pred)
    assert torch.equal(before.z_result, after.z_result)


def test_result_never_reaches_the_prediction(model: CausalFilm, make_batch: MakeBatch) -> None:
    batch = make_batch()
    before, after = model(batch), model(replace(batch, patches=tuple(block + 1 for block in batch.patches)))
    assert not torch.allclose(before.z_result, after.z_result)
    assert torch.equal(before.z_pred, after.z_pred)


def test_padding_of_audio_and_absent_views_do_not_matter(model: CausalFilm, make_batch: MakeBatch) -> None:
    batch = make_batch()
    batch.view_mask[:, 1] = False
    expected = encodings(model, batch)
    batch.audio[:, 5:] = 9.0
    for block in batch.patches:
        block[:, 1] = 9.0
    for encoding, wanted in zip(encodings(model, batch), expected, strict=True):
        assert torch.equal(encoding, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_tokens_from_the_cache_come_in_half_precision(
    model: CausalFilm, make_batch: MakeBatch, dtype: torch.dtype
) -> None:
    batch = make_batch()
    halved = with_tokens_of(batch, dtype)
    restored = with_tokens_of(halved, torch.float32)
    for encoding, expected in zip(encodings(model, halved), encodings(model, restored), strict=True):
        assert encoding.dtype == torch.float32
        torch.testing.assert_close(encoding, expected)


def test_no_dead_parameters_from_the_second_step_on(small_dims: CausalFilmDims, make_batch: MakeBatch) -> None:
    """FiLM's head starts at zero and so keeps the gradient of the first step from what lies before it."""
    model = CausalFilm(small_dims)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    batch, text = make_batch(), torch.randn(1, 8)

    def parameters_without_gradient() -> set[str]:
        optimizer.zero_grad()
        output = model(batch)
        loss = cosine_loss(output.z_pred, output.z_result) + 10 * l1_loss(output.z_pred, output.z_result)
        loss = loss + gram_loss(output.z_pred, output.z_result) + cosine_loss(model.text_head(output.z_pred), text)
        loss.backward()
        optimizer.step()
        return {name for name, p in model.named_parameters() if p.grad is None or p.grad.count_nonzero() == 0}

    before_the_head = {
        name
        for name, _ in model.named_parameters()
        if name.startswith("sensor_modulator.") and not name.startswith("sensor_modulator.head.")
    }
    assert parameters_without_gradient() == before_the_head
    assert parameters_without_gradient() == set()


def test_state_of_one_model_makes_another_the_same(small_dims: CausalFilmDims, make_batch: MakeBatch) -> None:
    first, second = CausalFilm(small_dims).eval(), CausalFilm(small_dims).eval()
    batch = make_batch()
    assert not torch.equal(first(batch).z_pred, second(batch).z_pred)
    second.load_state_dict(first.state_dict())
    for encoding, expected in zip(encodings(second, batch), encodings(first, batch), strict=True):
        assert torch.equal(encoding, expected)


def test_without_film_there_is_no_sensor_encoder_and_sensors_are_not_looked_at(
    small_dims: CausalFilmDims, make_batch: MakeBatch
) -> None:
    model, batch = CausalFilm(replace(small_dims, film="off")).eval(), make_batch()
    assert not [name for name, _ in model.named_parameters() if "sensor" in name]
    assert torch.equal(model(replace(batch, sensor=None)).z_pred, model(batch).z_pred)


def test_split_film_treats_video_and_audio_alike_until_a_step_and_not_after(
    small_dims: CausalFilmDims, make_batch: MakeBatch
) -> None:
    model, batch = CausalFilm(replace(small_dims, film="split")), make_batch()
    assert model.sensor_modulator is not None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    output = model(batch)
    cosine_loss(output.z_pred, output.z_result).backward()
    optimizer.step()
    video, audio = model.sensor_modulator(batch.sensor)
    assert not torch.allclose(video.gamma, audio.gamma) and not torch.allclose(video.beta, audio.beta)
    shared = CausalFilm(small_dims).sensor_modulator
    assert shared is not None and len(shared(batch.sensor)) == 1


def test_score_is_cosine_distance_and_ten_times_the_worst_half() -> None:
    predicted = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]])
    target = torch.tensor([[0.0, 3.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]])
    assert anomaly_score(predicted, target).tolist() == [1.0 + 10 * 2.0, 0.0 + 10 * 0.5]
    assert anomaly_score(target, target).tolist() == pytest.approx([0.0, 0.0], abs=1e-6)


@given(scale=st.floats(1.01, 100.0), seed=st.integers(0, 100))
def test_score_rises_with_the_error(scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(3, 9, generator=generator)
    error = torch.randn(3, 9, generator=generator)
    worst_half = top_absolute_error(target + scale * error, target, fraction=0.5)
    torch.testing.assert_close(worst_half, scale * top_absolute_error(error, torch.zeros(3, 9), fraction=0.5))
    assert (anomaly_score(target, target) < anomaly_score(target + scale * error, target)).all()
