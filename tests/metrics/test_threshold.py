"""The threshold from normals: conservative, the smallest of its kind, and never a low one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import comb
from scipy.stats import binom
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from weldcache.errors import MetricError
from weldcache.metrics.estimate import clopper_pearson
from weldcache.metrics.threshold import (
    Confusion,
    confusion_at,
    exceedance_p_value,
    exceedance_rate,
    normal_quantile_threshold,
)


@given(
    scores=st.lists(st.integers(0, 12), min_size=1, max_size=60),
    target_fpr=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.29, 0.5, 0.99]),
)
@settings(max_examples=200)
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


def test_equals_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 200)
    scores = np.round(generator.normal(labels, 1), 1)
    confusion = confusion_at(0.5, scores=scores, labels=labels)
    alarms = (scores > 0.5).astype(int)
    assert confusion.recall.value == pytest.approx(recall_score(labels, alarms))
    assert confusion.fpr.value == pytest.approx(1 - recall_score(labels, alarms, pos_label=0))
    assert confusion.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, alarms))
    assert confusion.f1 == pytest.approx(f1_score(labels, alarms))


def test_a_score_on_the_threshold_raises_no_alarm() -> None:
    confusion = confusion_at(2.0, scores=np.array([2.0, 2.0, 2.1, 1.0]), labels=np.array([0, 1, 1, 0]))
    assert confusion == Confusion(detected=1, missed=1, false_alarms=0, passed=2)


def test_no_alarm_at_all_has_an_f1_of_zero() -> None:
    assert Confusion(detected=0, missed=5, false_alarms=0, passed=5).f1 == 0


def test_by_counting_orders() -> None:
    # The highest of 3 reference scores is the threshold. All 2 new scores lie above it where the reference holds the
    # three lowest of five places: one order in comb(5, 3).
    p_value = exceedance_p_value(2, num_new=2, num_reference_above=0, num_reference=3)
    assert p_value == pytest.approx(2 / comb(5, 3))


def test_rejects_alike_normals_at_most_as_often_as_it_says() -> None:
    generator, by_interval, by_p_value, repeats = np.random.default_rng(0), 0, 0, 600
    for _ in range(repeats):
        reference, new = generator.normal(size=122), generator.normal(size=121)
        threshold = normal_quantile_threshold(reference, target_fpr=0.05)
        above = int(np.count_nonzero(new > threshold))
        by_interval += not clopper_pearson(above, trials=121).contains(0.05)
        by_p_value += exceedance_p_value(above, num_new=121, num_reference_above=6, num_reference=122) < 0.05
    assert by_interval / repeats > 0.10
    assert by_p_value / repeats < 0.06


def test_normals_that_have_moved_are_found() -> None:
    assert exceedance_p_value(40, num_new=121, num_reference_above=6, num_reference=122) < 1e-6


def test_rate_covers_the_truth_of_thresholds_from_few_normals() -> None:
    generator, covered, repeats = np.random.default_rng(1), 0, 800
    for _ in range(repeats):
        threshold = normal_quantile_threshold(generator.random(60), target_fpr=0.05)
        covered += exceedance_rate(3, num_reference=60).contains(1 - threshold)
    assert covered / repeats == pytest.approx(0.95, abs=0.025)
    assert exceedance_rate(3, num_reference=60).value == pytest.approx(4 / 61)


def test_rate_where_every_reference_normal_is_above() -> None:
    found = exceedance_rate(20, num_reference=20)
    assert (found.value, found.high) == (1, 1) and 0.8 < found.low < 1


def test_rule_of_three_and_its_mirror() -> None:
    none, every = clopper_pearson(0, trials=30), clopper_pearson(30, trials=30)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert (every.value, every.high) == (1, 1)
    assert every.low == pytest.approx(0.025 ** (1 / 30))


@pytest.mark.parametrize(("successes", "trials"), [(1, 10), (7, 121), (60, 122)])
def test_each_end_leaves_one_fortieth_in_the_tail(successes: int, trials: int) -> None:
    estimate = clopper_pearson(successes, trials=trials)
    assert binom.sf(successes - 1, trials, estimate.low) == pytest.approx(0.025)
    assert binom.cdf(successes, trials, estimate.high) == pytest.approx(0.025)


@pytest.mark.parametrize("truth", [0.01, 0.05, 0.5])
def test_coverage_is_at_least_nominal(truth: float) -> None:
    counts = np.arange(51)
    covered = [clopper_pearson(int(count), trials=50).contains(truth) for count in counts]
    assert binom.pmf(counts[covered], 50, truth).sum() >= 0.95
