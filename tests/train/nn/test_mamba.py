"""The Mamba layer against the one in transformers, which computes the same on its slow path."""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from weldcache.train.nn.mamba import Mamba


@pytest.fixture
def reference() -> MambaMixer:
    config = MambaConfig(hidden_size=24, state_size=16, conv_kernel=4, expand=2, num_hidden_layers=1)
    return MambaMixer(config, layer_idx=0)


def test_same_values_and_gradients_as_transformers(reference: MambaMixer, generator: torch.Generator) -> None:
    ours = Mamba(24)
    ours.load_state_dict(reference.state_dict())
    sequence = torch.randn(3, 37, 24, generator=generator)
    weights = torch.randn(3, 37, 24, generator=generator)

    def run(layer: torch.nn.Module) -> dict[str, Tensor]:
        inputs = sequence.clone().requires_grad_()
        outputs = layer(inputs)
        (outputs * weights).sum().backward()
        gradients = {name: parameter.grad for name, parameter in layer.named_parameters()}
        return {"outputs": outputs, "inputs": inputs.grad, **gradients}

    expected = run(reference)
    for name, result in run(ours).items():
        torch.testing.assert_close(result, expected[name], rtol=1e-5, atol=1e-5, msg=name)


def test_parameters_are_those_of_mamba_ssm() -> None:
    """Names and shapes as in `mamba_ssm.Mamba(128)`, so that checkpoints move in both directions."""
    shapes = {name: tuple(parameter.shape) for name, parameter in Mamba(128).named_parameters()}
    assert shapes == {
        "A_log": (256, 16),
        "D": (256,),
        "in_proj.weight": (512, 128),
        "conv1d.weight": (256, 1, 4),
        "conv1d.bias": (256,),
        "x_proj.weight": (40, 256),
        "dt_proj.weight": (256, 8),
        "dt_proj.bias": (256,),
        "out_proj.weight": (128, 256),
    }


def test_starting_values() -> None:
    layer = Mamba(512)
    torch.testing.assert_close(layer.A_log[5].exp(), torch.arange(1.0, 17.0))
    assert (layer.D == 1).all()
    step_sizes = torch.nn.functional.softplus(layer.dt_proj.bias)
    assert 0.00099 < step_sizes.min() < 0.0015
    assert 0.08 < step_sizes.max() < 0.101
    assert step_sizes.median().log().item() == pytest.approx(torch.tensor(0.01).log().item(), abs=0.3)  # log-uniform
    assert layer.dt_proj.weight.abs().max() <= 32**-0.5
    assert layer.dt_proj.weight.std().item() == pytest.approx((32 * 3) ** -0.5, rel=0.05)  # uniform


def test_outputs_do_not_see_the_future(generator: torch.Generator) -> None:
    layer = Mamba(8)
    sequence = torch.randn(1, 30, 8, generator=generator)
    changed = sequence.clone()
    changed[:, 20:] += 1
    before, after = layer(sequence), layer(changed)
    torch.testing.assert_close(before[:, :20], after[:, :20])
    assert not torch.allclose(before[:, 20], after[:, 20])


def test_rows_of_a_batch_do_not_mix(generator: torch.Generator) -> None:
    layer = Mamba(8)
    sequence = torch.randn(5, 18, 8, generator=generator)
    torch.testing.assert_close(layer(sequence)[3:4], layer(sequence[3:4]))


def test_gradients_in_double_precision(generator: torch.Generator) -> None:
    layer = Mamba(4, d_state=3, d_conv=2).double()
    sequence = torch.randn(1, 5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (sequence,))


def test_exported_program_computes_the_same(generator: torch.Generator) -> None:
    """A traced graph cannot hold the compiled kernel, so tracing takes the torch path."""
    layer = Mamba(8).eval()
    sequence = torch.randn(2, 21, 8, generator=generator)
    program = torch.export.export(layer, (sequence,))
    torch.testing.assert_close(program.module()(sequence), layer(sequence), rtol=1e-5, atol=1e-6)


def test_stacked_layers_compute_what_each_computes(generator: torch.Generator) -> None:
    """With sequences that all share, and with one each; gradients, too."""
    layers = [Mamba(8) for _ in range(3)]
    parameters, _ = stack_module_state(layers)
    sequences = torch.randn(3, 2, 19, 8, generator=generator)
    for inputs, axis in ((sequences, 0), (sequences[0], None)):
        stacked = vmap(lambda state, one: functional_call(layers[0], state, (one,)), in_dims=(0, axis))
        outputs = stacked(parameters, inputs)
        gradients = torch.autograd.grad(outputs.square().sum(), list(parameters.values()))
        for place, layer in enumerate(layers):
            alone = layer(inputs if axis is None else inputs[place])
            torch.testing.assert_close(outputs[place], alone)
            expected = torch.autograd.grad(alone.square().sum(), list(layer.parameters()))
            for mine, theirs in zip(gradients, expected, strict=True):
                torch.testing.assert_close(mine[place], theirs, rtol=1e-4, atol=1e-5)
