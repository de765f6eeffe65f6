"""The threshold from normals: conservative, the smallest of its kind, and never a low one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.errors import MetricError
from weldcache.metrics.threshold import normal_quantile_threshold


@given(
    scores=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    target_fpr=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.29, 0.5, 0.99]),
)
@settings(max_examples=200, deadline=None)
def test_keeps_the_target_and_nothing_smaller_does(scores: list[int], target_fpr: float) -> None:
    values = np.array(scores, dtype=np.float64)
    threshold = normal_quantile_threshold(values, target_fpr=target_fpr)
    assert np.mean(values > threshold) <= target_fpr + 1e-12
    # Half a step lower, the tied block at the threshold raises alarms as well.
    assert np.mean(values > threshold - 0.5) > target_fpr


def test_by_hand() -> None:
    scores = np.arange(1.0, 101.0)
    assert normal_quantile_threshold(scores, target_fpr=0.05) == 95
    assert normal_quantile_threshold(scores, target_fpr=0.29) == 71  # 0.29 * 100 is 28.999999999999996
    assert normal_quantile_threshold(scores, target_fpr=0.0) == 100


def test_too_few_normals_give_their_highest_score_not_the_lowest() -> None:
    assert normal_quantile_threshold(np.array([20.0, 31.0, 25.0]), target_fpr=0.05) == 31.0


@pytest.mark.parametrize("target_fpr", [-0.1, 1.0, np.nan])
def test_a_target_that_is_no_rate_is_an_error(target_fpr: float) -> None:
    with pytest.raises(MetricError, match="target false-alarm rate"):
        normal_quantile_threshold(np.array([1.0]), target_fpr=target_fpr)


def test_no_normals_are_an_error() -> None:
    with pytest.raises(MetricError, match="there are none"):
        normal_quantile_threshold(np.array([]), target_fpr=0.05)


def test_not_finite_is_an_error() -> None:
    with pytest.raises(MetricError, match="not finite"):
        normal_quantile_threshold(np.array([1.0, np.inf]), target_fpr=0.05)
