"""AUROC and its interval: parity with scikit-learn, hand-worked numbers, coverage, and the edges."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from weldcache.errors import MetricError
from weldcache.metrics.ranking import (
    auroc,
    auroc_interval,
    delong_covariance,
    delong_variance,
    newcombe_interval,
    structural_components,
)


def test_equals_scikit_learn(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=200)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        scores, labels = sample
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)

    check()


def test_scores_far_outside_the_unit_interval_are_only_ranked() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 500)
    scores = generator.uniform(20, 50, 500) + 6 * labels
    expected = roc_auc_score(labels, scores)
    assert 0.6 < expected < 0.9
    assert auroc(scores, labels) == pytest.approx(expected, abs=1e-12)
    assert auroc(np.exp(scores / 50) - 1e3, labels) == pytest.approx(expected, abs=1e-12)


def test_hand_worked_with_ties() -> None:
    # Pairs: 3 beats 1 and 2 and ties 3; 2 beats 1, ties 2, loses to 3: (1 + 1 + .5 + 1 + .5 + 0) / 6.
    assert auroc(np.array([3.0, 2.0, 1.0, 2.0, 3.0]), np.array([1, 1, 0, 0, 0])) == pytest.approx(4 / 6)


@pytest.mark.parametrize("scores", [np.full(40, 7.0), np.full(40, 0, dtype=np.int32)])
def test_equal_scores_are_chance_with_a_wide_interval(scores: np.ndarray) -> None:
    estimate = auroc_interval(scores, np.repeat([0, 1], 20))
    assert estimate.value == 0.5
    assert estimate.low < 0.4 and estimate.high > 0.6


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_an_error_that_says_where(bad: float) -> None:
    with pytest.raises(MetricError, match=r"1 of 4 scores are not finite .* at position 2"):
        auroc(np.array([1.0, 2.0, bad, 4.0]), np.array([0, 1, 0, 1]))


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_an_error(label: int) -> None:
    with pytest.raises(MetricError, match="at least one of each"):
        auroc(np.array([1.0, 2.0]), np.array([label, label]))


def test_a_third_label_is_an_error() -> None:
    with pytest.raises(MetricError, match="0 \\(normal\\) or 1"):
        auroc(np.array([1.0, 2.0, 3.0]), np.array([0, 1, 2]))


def test_perfect_separation_has_an_interval_of_some_width() -> None:
    scores, labels = np.arange(100.0), np.repeat([0, 1], 50)
    best, worst = auroc_interval(scores, labels), auroc_interval(-scores, labels)
    assert best.value == best.high == 1
    assert 0.9 < best.low < 0.99
    assert (worst.value, worst.low, worst.high) == pytest.approx((0, 0, 1 - best.low))


def test_interval_is_delongs_on_the_logit_scale_for_large_classes() -> None:
    generator = np.random.default_rng(3)
    labels = np.repeat([0, 1], [40, 60])
    scores = generator.normal(labels * 1.0, 1)
    estimate = auroc_interval(scores, labels)
    reach = 1.959963984540054 * np.sqrt(delong_variance(scores, labels)) / (estimate.value * (1 - estimate.value))
    logits = np.log(np.array([estimate.low, estimate.high]) / (1 - np.array([estimate.low, estimate.high])))
    assert logits.mean() == pytest.approx(np.log(estimate.value / (1 - estimate.value)))
    assert (logits[1] - logits[0]) / 2 == pytest.approx(reach)


@given(num_normal=st.integers(1, 30), num_defect=st.integers(1, 30), seed=st.integers(0, 1000))
@settings(max_examples=100)
def test_interval_holds_the_value_within_the_unit_interval(num_normal: int, num_defect: int, seed: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 8, num_normal + num_defect).astype(np.float64)
    estimate = auroc_interval(scores, np.repeat([0, 1], [num_normal, num_defect]))
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.low < estimate.high


@pytest.mark.parametrize("num_defect", [3, 8, 40])
def test_coverage_of_the_interval(num_defect: int) -> None:
    """Two normal distributions a distance of sqrt(2) * 0.8416 apart have a true AUROC of 0.8."""
    generator, labels, repeats = np.random.default_rng(17), np.repeat([0, 1], [60, num_defect]), 400
    covered = 0
    for _ in range(repeats):
        estimate = auroc_interval(generator.normal(np.sqrt(2) * 0.8416212 * labels, 1), labels)
        covered += estimate.contains(0.8)
    assert 0.93 <= covered / repeats <= 0.985


def test_random_scores_are_a_canary_near_one_half() -> None:
    generator = np.random.default_rng(5)
    estimate = auroc_interval(generator.random(2000), generator.integers(0, 2, 2000))
    assert estimate.contains(0.5)
    assert abs(estimate.value - 0.5) < 0.04


def _wins(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Every pair of one defect (row) and one normal (column)."""
    return np.array(
        [
            [float(defect > normal) + 0.5 * float(defect == normal) for normal in scores[labels == 0]]
            for defect in scores[labels == 1]
        ]
    )


def _slow_covariance(scores: np.ndarray, others: np.ndarray, labels: np.ndarray) -> float:
    """As in the paper of 1988, equations 4 to 6."""
    first, second = _wins(scores, labels), _wins(others, labels)
    values, (num_defect, num_normal) = (first.mean(), second.mean()), first.shape
    of_defects = sum((a.mean() - values[0]) * (b.mean() - values[1]) for a, b in zip(first, second, strict=True))
    of_normals = sum((a.mean() - values[0]) * (b.mean() - values[1]) for a, b in zip(first.T, second.T, strict=True))
    return float(of_defects / (num_defect - 1) / num_defect + of_normals / (num_normal - 1) / num_normal)


def test_equals_the_slow_definition(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=150)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        # The variance needs two samples of each class.
        scores, labels = np.append(sample[0], [24.0, 25.0, 22.0, 23.0]), np.append(sample[1], [1, 1, 0, 0])
        assert delong_variance(scores, labels) == pytest.approx(_slow_covariance(scores, scores, labels), abs=1e-12)

    check()


def test_covariance_equals_the_slow_definition() -> None:
    generator, labels = np.random.default_rng(4), np.repeat([0, 1, 0, 1], [9, 5, 2, 7])
    scores = generator.integers(20, 26, (4, len(labels))).astype(np.float64) + generator.integers(0, 3, len(labels))
    expected = [[_slow_covariance(row, column, labels) for column in scores] for row in scores]
    np.testing.assert_allclose(delong_covariance(scores, labels), expected, atol=1e-14)
    assert np.linalg.eigvalsh(delong_covariance(scores, labels)).min() > -1e-15


def test_by_hand() -> None:
    # Defects 2 and 4 against normals 1 and 3: wins [[1, 0], [1, 1]], AUROC 3/4. Row means 1/2 and 1, column means
    # 1 and 1/2: each set has variance 1/8, so 1/16 + 1/16.
    scores, labels = np.array([2.0, 4.0, 1.0, 3.0]), np.array([1, 1, 0, 0])
    of_defects, of_normals = structural_components(scores, labels)
    assert of_defects.tolist() == [0.5, 1.0]
    assert of_normals.tolist() == [1.0, 0.5]
    assert delong_variance(scores, labels) == pytest.approx(1 / 8)


def test_covariance_by_hand() -> None:
    # The second model swaps the defects of the first: its row means are 1 and 1/2, its column means the same 1 and 1/2.
    # Covariances of rows -1/8, of columns 1/8: -1/16 + 1/16. A model that gets everything right errs with nobody.
    scores, labels = (
        np.array([[2.0, 4.0, 1.0, 3.0], [4.0, 2.0, 1.0, 3.0], [9.0, 8.0, 1.0, 3.0]]),
        np.array([1, 1, 0, 0]),
    )
    expected = [[1 / 8, 0, 0], [0, 1 / 8, 0], [0, 0, 0]]
    np.testing.assert_allclose(delong_covariance(scores, labels), expected, atol=1e-16)


def test_both_sets_of_components_average_to_the_auroc() -> None:
    generator = np.random.default_rng(0)
    scores, labels = generator.integers(0, 9, 80).astype(np.float64), np.repeat([0, 1], [30, 50])
    of_defects, of_normals = structural_components(scores, labels)
    assert (of_defects.size, of_normals.size) == (50, 30)
    assert of_defects.mean() == pytest.approx(auroc(scores, labels))
    assert of_normals.mean() == pytest.approx(auroc(scores, labels))


def test_standard_error_agrees_with_the_spread_over_many_samples() -> None:
    generator, labels = np.random.default_rng(1), np.repeat([0, 1], [50, 80])
    draws = [generator.normal(labels, 1) for _ in range(400)]
    spread = np.var([auroc(draw, labels) for draw in draws])
    assert np.mean([delong_variance(draw, labels) for draw in draws]) == pytest.approx(spread, rel=0.15)


def test_a_class_of_one_is_an_error() -> None:
    with pytest.raises(MetricError, match="two samples of each class"):
        delong_variance(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))


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
