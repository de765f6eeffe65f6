"""The learning rate against numbers worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.train.schedule import Schedule

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
