"""The process side: FiLM by the sensors, padding that is not heard, attention against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from weldcache.train.recipes.causal_film.process import (
    CrossAttendingLayer,
    Modulation,
    ProcessEncoder,
    SensorEncoding,
    SensorModulator,
    attend,
    is_cheaper,
    modulate,
)


def test_hand_worked_modulation() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    modulation = Modulation(gamma=torch.tensor([[[0.5, -1.0]]]), beta=torch.tensor([[[0.0, 7.0]]]))
    assert modulate(tokens, modulation).tolist() == [[[1.5, 7.0], [4.5, 7.0]]]


def test_modulates_only_rows_that_have_sensors() -> None:
    modulation = Modulation(gamma=torch.ones(2, 1, 3), beta=torch.full((2, 1, 3), 5.0))
    tokens = torch.ones(2, 4, 3)
    modulated = modulate(tokens, modulation.only_where(torch.tensor([True, False])))
    assert (modulated[0] == 7).all() and torch.equal(modulated[1], tokens[1])


@pytest.fixture(params=["mamba", "gru"])
def modulator(request: pytest.FixtureRequest) -> SensorModulator:
    encoding: SensorEncoding = request.param
    return SensorModulator(6, hidden_width=16, width=10, encoding=encoding)


def test_identity_at_the_start(modulator: SensorModulator, generator: torch.Generator) -> None:
    tokens = torch.randn(4, 5, 10, generator=generator)
    (modulation,) = modulator(torch.randn(4, 50, 6, generator=generator))
    assert modulation.gamma.shape == modulation.beta.shape == (4, 1, 10)
    assert torch.equal(modulate(tokens, modulation), tokens)


def test_gradient_reaches_the_head_first_and_everything_from_the_second_step_on(
    modulator: SensorModulator, generator: torch.Generator
) -> None:
    optimizer = torch.optim.SGD(modulator.parameters(), lr=0.1)
    sensors, tokens = torch.randn(4, 50, 6, generator=generator), torch.randn(4, 5, 10, generator=generator)

    def parameters_with_gradient() -> set[str]:
        optimizer.zero_grad()
        modulate(tokens, modulator(sensors)[0]).square().sum().backward()
        optimizer.step()
        return {name for name, p in modulator.named_parameters() if p.grad is not None and p.grad.count_nonzero() > 0}

    assert parameters_with_gradient() == {"head.weight", "head.bias"}
    assert parameters_with_gradient() == {name for name, _ in modulator.named_parameters()}


def test_modulation_depends_on_the_whole_recording(modulator: SensorModulator, generator: torch.Generator) -> None:
    torch.nn.init.normal_(modulator.head.weight)
    sensors = torch.randn(1, 12, 6, generator=generator, requires_grad=True)
    modulator(sensors)[0].gamma.sum().backward()
    assert sensors.grad is not None
    assert (sensors.grad.abs().amax(dim=-1) > 0).all()


def test_batch_of_one_and_half_precision_sensors(modulator: SensorModulator, generator: torch.Generator) -> None:
    torch.nn.init.normal_(modulator.head.weight)
    sensors = torch.randn(3, 128, 6, generator=generator)
    (alone,), (together,) = modulator(sensors[1:2]), modulator(sensors)
    torch.testing.assert_close(alone.beta, together.beta[1:2])
    assert modulator(sensors.half())[0].gamma.dtype == torch.float32


def test_two_modulations_come_from_rows_of_the_head_of_their_own(generator: torch.Generator) -> None:
    modulator = SensorModulator(6, hidden_width=16, width=10, num_modulations=2)
    torch.nn.init.normal_(modulator.head.weight[:20])
    video, audio = modulator(torch.randn(3, 12, 6, generator=generator))
    assert video.gamma.shape == audio.beta.shape == (3, 1, 10)
    assert (video.gamma != 0).all() and (video.beta != 0).all()
    assert (audio.gamma == 0).all() and (audio.beta == 0).all()


@pytest.fixture
def encoder() -> ProcessEncoder:
    return ProcessEncoder(16).eval()


@pytest.fixture
def tokens(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    return torch.randn(3, 5, 16, generator=generator), torch.randn(3, 7, 16, generator=generator)


def test_padding_of_audio_does_not_matter(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    video, audio = tokens
    padding = torch.arange(7).expand(3, 7) >= 4
    expected = encoder(video, audio=audio[:, :4], audio_padding=padding[:, :4])
    torch.testing.assert_close(encoder(video, audio=audio, audio_padding=padding), expected)
    louder = audio.masked_fill(padding.unsqueeze(-1), 100.0)
    assert torch.equal(
        encoder(video, audio=louder, audio_padding=padding), encoder(video, audio=audio, audio_padding=padding)
    )


def test_every_token_that_is_there_matters(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    video, audio = tokens[0].requires_grad_(), tokens[1].requires_grad_()
    padding = torch.arange(7).expand(3, 7) >= 4
    encoder(video, audio=audio, audio_padding=padding)[:, 0].sum().backward()
    assert video.grad is not None and audio.grad is not None
    assert (video.grad.abs().amax(dim=-1) > 0).all()
    assert torch.equal(audio.grad.abs().amax(dim=-1) > 0, ~padding)


def test_encoding_is_normalised(encoder: ProcessEncoder, tokens: tuple[Tensor, Tensor]) -> None:
    encoded = encoder(tokens[0], audio=tokens[1], audio_padding=torch.zeros(3, 7, dtype=torch.bool))
    torch.testing.assert_close(encoded.mean(dim=-1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(encoded.std(dim=-1, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def results(layer: nn.Module, *tensors: Tensor, padding: Tensor) -> list[Tensor]:
    layer.zero_grad()
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    outputs = layer(*leaves, memory_key_padding_mask=padding)
    outputs.square().sum().backward()
    found = [outputs.detach(), *(leaf.grad for leaf in leaves), *(p.grad for p in layer.parameters())]
    assert all(tensor is not None for tensor in found)
    return found


@pytest.mark.parametrize(("num_queries", "num_tokens"), [(5, 60), (40, 5)])
def test_layer_computes_what_torch_computes(num_queries: int, num_tokens: int, generator: torch.Generator) -> None:
    """Values and all gradients, also where there are more queries than pays."""
    theirs = nn.TransformerDecoderLayer(32, 4, dim_feedforward=64, batch_first=True).eval().double()
    ours = CrossAttendingLayer(32, 4, dim_feedforward=64, batch_first=True).eval().double()
    nn.init.normal_(theirs.multihead_attn.in_proj_bias)  # zero at the start, which would hide a forgotten one
    ours.load_state_dict(theirs.state_dict())
    assert is_cheaper(ours.multihead_attn, num_queries=num_queries, num_tokens=num_tokens) == (num_tokens == 60)
    queries = torch.randn(3, num_queries, 32, generator=generator, dtype=torch.float64)
    memory = torch.randn(3, num_tokens, 32, generator=generator, dtype=torch.float64)
    padding = torch.arange(num_tokens) >= torch.tensor([num_tokens, 3, 1]).unsqueeze(1)
    expected = results(theirs, queries, memory, padding=padding)
    for result, wanted in zip(results(ours, queries, memory, padding=padding), expected, strict=True):
        torch.testing.assert_close(result, wanted)


def test_dropout_hides_values_with_their_bias(generator: torch.Generator) -> None:
    """All values alike, one head: the output is the value times the weight that dropout has left, twice what was."""
    attention = nn.MultiheadAttention(4, 1, dropout=0.5, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.zero_()  # so that all weights are equal, and values are the bias alone
        attention.in_proj_bias.copy_(torch.ones(12))
        attention.out_proj.weight.copy_(torch.eye(4))
    memory, queries = torch.randn(2, 10, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    attended = attend(attention, queries, memory=memory, padding=None)
    kept = attended * 10 / 2  # of the ten tokens
    torch.testing.assert_close(kept, kept.round())
    assert kept.min() >= 0 and kept.max() <= 10 and kept.std() > 0
    torch.testing.assert_close(attend(attention.eval(), queries, memory=memory, padding=None), torch.ones(2, 3, 4))


def test_weights_move_to_torch_and_back() -> None:
    theirs, ours = nn.TransformerDecoderLayer(16, 4), CrossAttendingLayer(16, 4)
    assert {n: p.shape for n, p in ours.named_parameters()} == {n: p.shape for n, p in theirs.named_parameters()}
