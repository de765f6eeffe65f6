"""A p value belongs to its interval, however that is made."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_rel

from weldcache.metrics.estimate import Estimate
from weldcache.metrics.p_value import SMALLEST_P, p_value_of
from weldcache.metrics.repeats import mean_auroc_difference, mean_auroc_difference_by_confidence, mean_share_difference


def normal(value: float, error: float = 1.0) -> float:
    """The p value of a difference with a normal interval."""

    def found(confidence: float) -> Estimate:
        reach = float(norm.ppf(0.5 + confidence / 2)) * error
        return Estimate(value, value - reach, value + reach)

    return p_value_of(found)


@given(value=st.floats(-5, 5))
def test_of_a_normal_interval_it_is_that_of_the_normal_test(value: float) -> None:
    assert normal(value) == pytest.approx(2 * norm.sf(abs(value)), rel=1e-3, abs=2e-3)
    assert normal(value) == pytest.approx(normal(-value), rel=1e-6)


def test_nothing_is_certain() -> None:
    assert normal(0.0) == 1.0
    assert normal(100.0) == normal(-100.0) == SMALLEST_P
    assert p_value_of(lambda confidence: Estimate(0.0, 0.0, 0.0)) == 1.0
    assert p_value_of(lambda confidence: Estimate(0.1, -0.9, 0.9)) == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_it_is_below_a_twentieth_just_where_the_interval_leaves_out_nothing(seed: int) -> None:
    generator = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [40, 30])
    better, worse = (generator.normal(size=(1, 70)) + shift * labels for shift in (1.2, 0.6 + seed * 0.2))
    groups = [f"{row // 5}" for row in range(70)]
    for held in (None, groups):
        interval = mean_auroc_difference(better, worse, labels, groups=held)
        p = p_value_of(mean_auroc_difference_by_confidence(better, worse, labels, groups=held))
        assert (p < 0.05) == (not interval.contains(0.0))


def test_of_a_share_of_many_pairs_it_is_near_the_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.random((1, 400)) < 0.8, generator.random((1, 400)) < 0.74
    p = p_value_of(lambda confidence: mean_share_difference(first, second, confidence=confidence))
    assert p == pytest.approx(ttest_rel(first[0].astype(float), second[0].astype(float)).pvalue, rel=0.05)
