"""AUROC and its interval: parity with scikit-learn, hand-worked numbers, coverage, and the edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from sklearn.metrics import roc_auc_score

from weldcache.errors import MetricError
from weldcache.metrics.auroc import auroc, auroc_interval
from weldcache.metrics.delong import delong_variance


def test_equals_scikit_learn(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=200, deadline=None)
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
@settings(max_examples=100, deadline=None)
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
