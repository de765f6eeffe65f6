"""FiLM by the sensors: the identity at the start, and able to leave it."""

import torch

from weldcache.train.nn.film import Modulation, modulate
from weldcache.train.nn.sensor_modulator import SensorModulator


def test_hand_worked_modulation() -> None:
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    modulation = Modulation(gamma=torch.tensor([[[0.5, -1.0]]]), beta=torch.tensor([[[0.0, 7.0]]]))
    assert modulate(tokens, modulation).tolist() == [[[1.5, 7.0], [4.5, 7.0]]]


def test_identity_at_the_start(generator: torch.Generator) -> None:
    modulator = SensorModulator(6, hidden_width=16, width=10)
    tokens = torch.randn(4, 5, 10, generator=generator)
    modulation = modulator(torch.randn(4, 50, 6, generator=generator))
    assert modulation.gamma.shape == modulation.beta.shape == (4, 1, 10)
    assert torch.equal(modulate(tokens, modulation), tokens)


def test_gradient_reaches_the_head_first_and_everything_from_the_second_step_on(generator: torch.Generator) -> None:
    modulator = SensorModulator(6, hidden_width=16, width=10)
    optimizer = torch.optim.SGD(modulator.parameters(), lr=0.1)
    sensors, tokens = torch.randn(4, 50, 6, generator=generator), torch.randn(4, 5, 10, generator=generator)

    def parameters_with_gradient() -> set[str]:
        optimizer.zero_grad()
        modulate(tokens, modulator(sensors)).square().sum().backward()
        optimizer.step()
        return {name for name, p in modulator.named_parameters() if p.grad is not None and p.grad.count_nonzero() > 0}

    assert parameters_with_gradient() == {"head.weight", "head.bias"}
    assert parameters_with_gradient() == {name for name, _ in modulator.named_parameters()}


def test_modulation_depends_on_the_whole_recording(generator: torch.Generator) -> None:
    modulator = SensorModulator(6, hidden_width=16, width=10)
    torch.nn.init.normal_(modulator.head.weight)
    sensors = torch.randn(1, 12, 6, generator=generator, requires_grad=True)
    modulator(sensors).gamma.sum().backward()
    assert sensors.grad is not None
    assert (sensors.grad.abs().amax(dim=-1) > 0).all()


def test_batch_of_one_and_half_precision_sensors(generator: torch.Generator) -> None:
    modulator = SensorModulator(6, hidden_width=16, width=10)
    torch.nn.init.normal_(modulator.head.weight)
    sensors = torch.randn(3, 128, 6, generator=generator)
    torch.testing.assert_close(modulator(sensors[1:2]).beta, modulator(sensors).beta[1:2])
    assert modulator(sensors.half()).gamma.dtype == torch.float32
