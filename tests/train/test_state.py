"""The moving average against its formula."""

import math

import pytest
import torch
from torch import nn

from weldcache.train.state import averaged_copy, decay_at, update_average


@pytest.mark.parametrize(("update", "expected"), [(0, 0.1), (1, 2 / 11), (8, 0.5), (100_000, 0.9999)])
def test_decay_warms_up(update: int, expected: float) -> None:
    assert decay_at(update, decay=0.9999) == pytest.approx(expected, rel=1e-12)


def test_the_random_start_is_forgotten_only_thanks_to_the_warm_up() -> None:
    kept = math.prod(decay_at(update, decay=0.9999) for update in range(1_800))
    assert kept < 0.05
    assert 0.9999**1_800 > 0.8


def test_follows_the_formula_and_copies_buffers() -> None:
    model = nn.BatchNorm1d(3)
    nn.init.constant_(model.weight, 2.0)
    averaged = averaged_copy(model)
    expected = model.weight.detach().clone()
    for value, decay in ((5.0, 0.1), (-1.0, 0.75), (4.0, 0.5)):
        nn.init.constant_(model.weight, value)
        model.running_mean += value
        update_average(averaged, model, decay=decay)
        expected = decay * expected + (1 - decay) * value
    torch.testing.assert_close(averaged.weight, expected)
    assert torch.equal(averaged.running_mean, model.running_mean)
    assert averaged.running_mean.data_ptr() != model.running_mean.data_ptr()


def test_is_a_copy_of_its_own_without_gradient() -> None:
    model = nn.Linear(2, 2)
    averaged = averaged_copy(model)
    nn.init.zeros_(model.weight)
    assert averaged.weight.abs().sum() > 0
    assert not averaged.training and model.training
    assert not any(parameter.requires_grad for parameter in averaged.parameters())
    assert all(parameter.requires_grad for parameter in model.parameters())
