"""p-values, many of them, and what normals can promise: known values and slow references."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, false_discovery_control

from weldcache.errors import MetricError
from weldcache.metrics.conformal import (
    benjamini_hochberg,
    holm,
    num_needed,
    p_values,
    promise,
    rank_that_holds,
    rate_held,
)

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
    assert [rank_that_holds(122, rate=rate) for rate in (0.05, 0.02, 0.01)] == [3, 1, None]
    assert [num_needed(rate) for rate in (0.1, 0.05, 0.01)] == [22, 45, 230]


@given(num=st.integers(1, 250), rate=st.sampled_from([0.01, 0.02, 0.05, 0.1, 0.5]))
def test_the_rank_is_the_lowest_threshold_that_holds(num: int, rate: float) -> None:
    rank = rank_that_holds(num, rate=rate)
    held = [bool(beta.cdf(rate, r, num - r + 1) >= 0.9 - 1e-12) for r in range(1, num + 1)]
    assert held == [r <= (rank or 0) for r in range(1, num + 1)]
    assert (rank is not None) == (num >= num_needed(rate))
    if rank is not None:
        assert rate_held(rank - 1, num=num) <= rate + 1e-9


def test_a_promise_counts_groups_by_their_highest_score() -> None:
    scores = np.arange(100.0)
    apart = promise(scores, groups=[""] * 100, threshold=95.0, target_fpr=0.05)
    assert (apart.num, apart.num_above, apart.num_needed) == (100, 4, 45)
    assert apart.threshold == 98.0 and apart.rate == pytest.approx(beta.ppf(0.9, 5, 96))
    together = promise(scores, groups=[str(row // 2) for row in range(100)], threshold=95.0, target_fpr=0.05)
    assert (together.num, together.num_above, together.threshold) == (50, 2, 99.0)
    few = promise(scores[:8], groups=["a"] * 4 + ["b"] * 4, threshold=6.0, target_fpr=0.05)
    assert few.num == 2 and few.threshold is None and few.rate > 0.9
    with pytest.raises(MetricError, match="normals"):
        promise(np.array([]), groups=[], threshold=0.0, target_fpr=0.05)


def test_nothing_is_promised_where_all_are_above() -> None:
    assert rate_held(3, num=3) == 1.0
