"""p-values, many of them, and what normals can promise: known values and slow references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, false_discovery_control, norm

from weldcache.errors import MetricError
from weldcache.metrics.conformal import (
    benjamini_hochberg,
    holm,
    num_needed,
    p_values,
    promise,
    rate_held,
)
from weldcache.metrics.threshold import normal_quantile_threshold

PROBABILITIES = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@given(
    scores=st.lists(st.integers(-5, 5), min_size=1, max_size=20),
    calibration=st.lists(st.integers(-5, 5), max_size=20),
)
def test_p_values_count_who_scores_as_high(scores: list[int], calibration: list[int]) -> None:
    found = p_values(np.array(scores), calibration=np.array(calibration))
    slow = [(1 + sum(each >= score for each in calibration)) / (len(calibration) + 1) for score in scores]
    assert found.tolist() == pytest.approx(slow)


@given(p=PROBABILITIES)
def test_benjamini_hochberg_is_scipys_and_finds_what_the_procedure_finds(p: list[float]) -> None:
    values = np.array(p)
    np.testing.assert_allclose(benjamini_hochberg(values), false_discovery_control(values), atol=1e-12)
    ordered = sorted(p)
    largest = max((i for i in range(len(p)) if ordered[i] <= 0.1 * (i + 1) / len(p)), default=-1)
    expected = values <= (ordered[largest] if largest >= 0 else -1)
    adjusted = benjamini_hochberg(values)
    near = np.isclose(adjusted, 0.1, atol=1e-9)  # where rounding decides
    assert ((adjusted <= 0.1) == expected)[~near].all()


@given(p=PROBABILITIES)
def test_holm_steps_down(p: list[float]) -> None:
    adjusted, highest = dict[int, float](), 0.0
    for step, row in enumerate(sorted(range(len(p)), key=lambda row: p[row])):
        highest = max(highest, p[row] * (len(p) - step))
        adjusted[row] = min(1.0, highest)
    np.testing.assert_allclose(holm(np.array(p)), [adjusted[row] for row in range(len(p))])


def test_what_122_normals_can_promise() -> None:
    scores = np.arange(122.0)
    found = [promise(scores, groups=[""] * 122, threshold=0.0, target_fpr=rate) for rate in (0.05, 0.02, 0.01)]
    assert [each.threshold for each in found] == [scores[-3], scores[-1], None]
    assert [num_needed(rate) for rate in (0.1, 0.05, 0.01)] == [22, 45, 230]


@given(num=st.integers(1, 250), rate=st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.5]))
def test_the_threshold_is_the_lowest_that_holds(num: int, rate: float) -> None:
    scores = np.arange(float(num))
    found = promise(scores, groups=[""] * num, threshold=0.0, target_fpr=rate).threshold
    held = [bool(beta.cdf(rate, r, num - r + 1) >= 0.9 - 1e-12) for r in range(1, num + 1)]
    rank = 0 if found is None else num - int(found)
    assert held == [r <= rank for r in range(1, num + 1)]
    assert (found is not None) == (num >= num_needed(rate))
    if rank:
        assert rate_held(rank - 1, num=num) <= rate + 1e-9


def test_a_promise_counts_groups_by_the_share_of_their_normals_that_are_above() -> None:
    scores = np.arange(100.0)
    apart = promise(scores, groups=[""] * 100, threshold=95.0, target_fpr=0.05)
    assert (apart.num, apart.num_above, apart.num_needed) == (100, 4, 45)
    assert apart.threshold == 98.0 and apart.rate == pytest.approx(beta.ppf(0.9, 5, 96))
    pairs = [str(row // 2) for row in range(100)]
    together = promise(scores, groups=pairs, threshold=95.0, target_fpr=0.05)
    assert (together.num, together.num_above, together.threshold) == (50, 2, 99.0)
    half = promise(scores, groups=pairs, threshold=96.0, target_fpr=0.05)
    assert half.num_above == 1.5 and half.rate == pytest.approx(beta.ppf(0.9, 2.5, 48.5))
    few = promise(scores[:8], groups=["a"] * 4 + ["b"] * 4, threshold=6.0, target_fpr=0.05)
    assert (few.num, few.num_above, few.threshold) == (2, 0.25, None) and few.rate > 0.7
    with pytest.raises(MetricError, match="normals"):
        promise(np.array([]), groups=[], threshold=0.0, target_fpr=0.05)


@pytest.mark.parametrize("correlation", [0.0, 0.5, 1.0])
def test_a_promise_holds_in_nine_of_ten_calibrations(correlation: float) -> None:
    generator, groups, held = np.random.default_rng(0), np.repeat(np.arange(20), 6), []
    for _ in range(300):
        common, own = generator.normal(size=20), generator.normal(size=120)
        scores = np.sqrt(correlation) * common[groups] + np.sqrt(1 - correlation) * own
        threshold = normal_quantile_threshold(scores, target_fpr=0.05)
        found = promise(scores, groups=groups.astype(str).tolist(), threshold=threshold, target_fpr=0.05)
        held.append(norm.sf(threshold) <= found.rate)
    assert np.mean(held) > 0.9 - 3 * np.sqrt(0.09 / 300)


def test_nothing_is_promised_where_all_are_above() -> None:
    assert rate_held(3, num=3) == 1.0
