"""The autoencoder: its layers, what it rebuilds, and its error."""

import pytest
import torch
from torch import nn

from weldcache.train.nn.autoencoder import Autoencoder, reconstruction_error
from weldcache.train.nn.standardise import ChannelStatistics


@pytest.mark.parametrize(("width", "hidden", "bottleneck"), [(768, 128, 64), (1280, 128, 64), (7, 5, 3)])
def test_parameters_are_those_of_four_linear_layers(width: int, hidden: int, bottleneck: int) -> None:
    model = Autoencoder(width, hidden=hidden, bottleneck=bottleneck)
    expected = 2 * width * hidden + 2 * hidden * bottleneck + width + 2 * hidden + bottleneck
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert [module.out_features for module in model.modules() if isinstance(module, nn.Linear)] == [
        hidden,
        bottleneck,
        hidden,
        width,
    ]


def test_layers_by_hand() -> None:
    torch.manual_seed(0)
    model = Autoencoder(7, hidden=5, bottleneck=3)
    vectors = torch.randn(4, 7)
    first, second, third, fourth = (module for module in model.modules() if isinstance(module, nn.Linear))
    code = (vectors @ first.weight.T + first.bias).clamp(min=0) @ second.weight.T + second.bias
    hidden = (code.clamp(min=0) @ third.weight.T + third.bias).clamp(min=0)
    output = model(vectors)
    torch.testing.assert_close(output.code, code.clamp(min=0))
    torch.testing.assert_close(output.rebuilt, hidden @ fourth.weight.T + fourth.bias)
    assert torch.equal(output.target, vectors)  # not standardised until it is told how


def test_what_is_rebuilt_is_the_standardised_vector() -> None:
    model, vectors = Autoencoder(7, hidden=5, bottleneck=3), 3 + 2 * torch.randn(50, 7)
    statistics = ChannelStatistics(7)
    statistics.add(vectors)
    model.standardise.use(statistics)
    target = model(vectors).target
    torch.testing.assert_close(target.mean(dim=0), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(target.std(dim=0, correction=0), torch.ones(7))


def test_the_error_by_hand() -> None:
    rebuilt, target = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 6.0]])
    assert reconstruction_error(rebuilt, target).tolist() == pytest.approx([13 / 3, 12.0])
