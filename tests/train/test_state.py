"""The moving average and the learning rate against numbers worked by hand."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from weldcache.train.state import Schedule, averaged_copy, decay_at, update_average


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


SCHEDULE = Schedule(warmup_lr=1.0, lr=5.0, min_lr=1.0, warmup_steps=4, total_steps=13)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1.0),
        (1, 2.0),
        (3, 4.0),
        (4, 5.0),  # the peak
        (6, 1 + 2 * (1 + 2**-0.5)),  # a quarter of the cosine: cos(pi / 4)
        (8, 3.0),  # half of it
        (12, 1.0),  # the last step
        (13, 1.0),  # a step that is not there any more
    ],
)
def test_warms_up_linearly_and_falls_as_half_a_cosine(step: int, expected: float) -> None:
    assert SCHEDULE.at(step) == pytest.approx(expected, rel=1e-12)


def test_without_warm_up_the_first_step_is_the_peak() -> None:
    assert Schedule(warmup_lr=0.1, lr=2.0, min_lr=0.0, warmup_steps=0, total_steps=5).at(0) == 2.0


def test_a_run_no_longer_than_its_warm_up_never_falls() -> None:
    schedule = Schedule(warmup_lr=0.0, lr=1.0, min_lr=0.5, warmup_steps=8, total_steps=4)
    assert [schedule.at(step) for step in range(4)] == [0.0, 0.125, 0.25, 0.375]


@given(warmup=st.integers(0, 20), total=st.integers(1, 60), step=st.integers(0, 59))
def test_stays_between_its_bounds(warmup: int, total: int, step: int) -> None:
    schedule = Schedule(warmup_lr=0.2, lr=1.0, min_lr=0.1, warmup_steps=warmup, total_steps=total)
    assert 0.1 <= schedule.at(step) <= 1.0
