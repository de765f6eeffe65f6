"""FiLM by the sensors: the identity at the start, and able to leave it."""

import pytest
import torch

from weldcache.train.nn.film import Modulation, modulate
from weldcache.train.nn.sensor_encoder import SensorEncoding
from weldcache.train.nn.sensor_modulator import SensorModulator


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
