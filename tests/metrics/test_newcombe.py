"""Newcombe's interval: Wilson's where there is one sample of each class, and the shape it must have elsewhere."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from weldcache.metrics.newcombe import newcombe_interval

QUANTILE = float(norm.ppf(0.975))


def test_one_sample_of_each_class_gives_wilsons_interval() -> None:
    estimate = newcombe_interval(1.0, num_defect=1, num_normal=1)
    assert estimate.low == pytest.approx(1 / (1 + QUANTILE**2))
    assert estimate.high == 1


@pytest.mark.parametrize("value", [0.3, 0.5, 0.87, 0.999])
def test_at_either_end_the_value_is_one_quantile_away(value: float) -> None:
    num_defect, num_normal = 7, 12
    estimate = newcombe_interval(value, num_defect=num_defect, num_normal=num_normal)
    for truth in (estimate.low, estimate.high):
        # Hanley and McNeil's variance with the mean class size less one in both terms, from Q1 and Q2 as they wrote it.
        q1, q2, surplus = truth / (2 - truth), 2 * truth**2 / (1 + truth), (num_defect + num_normal) / 2 - 1
        spread = truth * (1 - truth) + surplus * (q1 - truth**2 + q2 - truth**2)
        assert abs(value - truth) == pytest.approx(QUANTILE * math.sqrt(spread / (num_defect * num_normal)))


def test_mirrored_values_have_mirrored_intervals() -> None:
    high, low = newcombe_interval(0.9, num_defect=5, num_normal=40), newcombe_interval(0.1, num_defect=5, num_normal=40)
    assert (low.low, low.high) == pytest.approx((1 - high.high, 1 - high.low))


def test_more_samples_narrow_the_interval_but_never_to_a_point() -> None:
    lows = [newcombe_interval(1.0, num_defect=size, num_normal=size).low for size in (2, 10, 100, 10_000)]
    assert np.all(np.diff(lows) > 0)
    assert lows[-1] < 1
