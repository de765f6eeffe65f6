"""Mean AUROC over seeds and its difference: by hand, against what they reduce to, coverage, and the edges."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, t

from weldcache.errors import MetricError
from weldcache.metrics.estimate import clopper_pearson
from weldcache.metrics.ranking import auroc, auroc_interval, delong_covariance, delong_variance
from weldcache.metrics.repeats import (
    RepeatsEstimate,
    mean_auroc,
    mean_auroc_difference,
    mean_share,
    mean_share_difference,
    mean_value,
)

EQUAL = RepeatsEstimate(0.0, low=0.0, high=0.0, method="equal")
LABELS = np.repeat([0, 1], [40, 60])


def _variant(
    generator: np.random.Generator, base: np.ndarray, labels: np.ndarray, *, num: int, of_seeds: float, own: float = 0.3
) -> np.ndarray:
    """Scores of `num` seeds on one draw of samples: what is hard is shared, the separation is each seed's own."""
    separations = generator.normal(1.19, of_seeds, num)
    return np.array([base + sep * labels + own * generator.normal(size=len(labels)) for sep in separations])


def _draws(*, repeats: int, of_seeds: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    generator = np.random.default_rng(11)
    for _ in range(repeats):
        base = generator.normal(size=len(LABELS))
        sides = [_variant(generator, base, LABELS, num=3, of_seeds=of_seeds) for _ in range(2)]
        yield sides[0], sides[1]


def test_one_repeat_is_the_ordinary_interval() -> None:
    scores = np.random.default_rng(0).normal(LABELS, 1)
    for samples in (slice(None), slice(35, 45), slice(0, 45)):
        alone, one = (
            auroc_interval(scores[samples], LABELS[samples]),
            mean_auroc(scores[None, samples], LABELS[samples]),
        )
        assert (one.value, one.low, one.high) == pytest.approx((alone.value, alone.low, alone.high), abs=1e-15)


def test_repeats_that_agree_know_no_more_than_one() -> None:
    """Three seeds with the same scores are one experiment, whatever their number."""
    scores = np.random.default_rng(0).normal(LABELS, 1)
    one, three = auroc_interval(scores, LABELS), mean_auroc(np.stack([scores] * 3), LABELS)
    assert (three.value, three.low, three.high) == pytest.approx((one.value, one.low, one.high))


def test_the_interval_by_its_formula() -> None:
    generator = np.random.default_rng(2)
    scores = _variant(generator, generator.normal(size=100), LABELS, num=4, of_seeds=0.3)
    values, covariance = np.array([auroc(row, LABELS) for row in scores]), delong_covariance(scores, LABELS)
    shared = np.mean([covariance[i, j] for i in range(4) for j in range(4) if i != j])
    variance, of_seeds = shared + values.var(ddof=1) / 4, values.var(ddof=1) / 4
    assert variance > covariance.mean()  # these seeds differ by more than the samples explain
    reach = t.ppf(0.975, 3 * (variance / of_seeds) ** 2) * np.sqrt(variance) / (values.mean() * (1 - values.mean()))
    estimate = mean_auroc(scores, LABELS)
    logits = np.log(np.array([estimate.low, estimate.high]) / (1 - np.array([estimate.low, estimate.high])))
    assert estimate.value == pytest.approx(values.mean())
    assert logits == pytest.approx(np.log(values.mean() / (1 - values.mean())) + np.array([-reach, reach]))


def test_a_difference_of_single_runs_is_delongs_paired_test() -> None:
    generator = np.random.default_rng(3)
    base = generator.normal(size=100)
    first, second = (_variant(generator, base, LABELS, num=1, of_seeds=0.5) for _ in range(2))
    covariance = delong_covariance(np.concatenate([first, second]), LABELS)
    reach = norm.ppf(0.975) * np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    value = auroc(first[0], LABELS) - auroc(second[0], LABELS)
    estimate = mean_auroc_difference(first, second, LABELS)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((value, value - reach, value + reach))
    unpaired = norm.ppf(0.975) * np.sqrt(delong_variance(first[0], LABELS) + delong_variance(second[0], LABELS))
    assert reach < 0.5 * unpaired  # pairing is what makes small differences visible


def test_a_difference_turns_its_sign_with_its_sides() -> None:
    first, second = next(_draws(repeats=1, of_seeds=0.2))
    there, back = mean_auroc_difference(first, second, LABELS), mean_auroc_difference(second, first, LABELS)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


@pytest.mark.parametrize("of_seeds", [0.0, 0.3])
@pytest.mark.slow
def test_coverage_over_other_samples_and_other_seeds(of_seeds: float) -> None:
    separations = np.random.default_rng(0).normal(1.19, of_seeds, 100_000)
    truth = float(norm.cdf(separations / np.sqrt(2 * 1.09)).mean())
    repeats = 250
    found = [
        (mean_auroc(first, LABELS).contains(truth), mean_auroc_difference(first, second, LABELS).contains(0.0))
        for first, second in _draws(repeats=repeats, of_seeds=of_seeds)
    ]
    of_mean, of_difference = np.mean(found, axis=0)
    assert 0.915 <= of_mean <= 0.985
    assert 0.915 <= of_difference <= 0.998


def test_seeds_that_differ_widen_the_interval() -> None:
    widths = {}
    for of_seeds in (0.0, 0.6):
        first, _ = next(_draws(repeats=1, of_seeds=of_seeds))
        estimate = mean_auroc(first, LABELS)
        widths[of_seeds] = estimate.high - estimate.low
    assert widths[0.6] > 1.5 * widths[0.0]


@pytest.mark.parametrize("num", [1, 3])
def test_perfect_separation_has_an_interval_of_some_width(num: int) -> None:
    generator = np.random.default_rng(0)
    perfect = generator.uniform(size=(num, 100)) + 2 * LABELS
    best, worst = mean_auroc(perfect, LABELS), mean_auroc(-perfect, LABELS)
    assert best.value == best.high == 1 and 0.9 < best.low < 0.99
    assert (worst.value, worst.low, worst.high) == pytest.approx((0, 0, 1 - best.low))
    between = mean_auroc_difference(perfect, generator.permuted(perfect, axis=0) + LABELS, LABELS)
    assert between.value == 0 and -0.2 < between.low <= 0 <= between.high < 0.2
    against_worst = mean_auroc_difference(perfect, -perfect, LABELS)
    assert against_worst.value == against_worst.high == 1 and against_worst.low > 0.8


def test_two_perfect_models_are_not_known_to_be_equal_but_one_and_the_same_is() -> None:
    generator = np.random.default_rng(0)
    first, second = (generator.uniform(size=(2, 100)) + 2 * LABELS for _ in range(2))
    assert mean_auroc_difference(first, second, LABELS).low < 0 < mean_auroc_difference(first, second, LABELS).high
    assert mean_auroc_difference(first, 3 * first + 1, LABELS) == EQUAL


def test_models_that_differ_within_a_class_alone_do_not_differ() -> None:
    scores = np.random.default_rng(0).normal(LABELS, 1)
    above = np.argsort(scores)[-2:]
    assert LABELS[above].tolist() == [1, 1]  # the two highest are defects, so they can change places
    swapped = scores.copy()
    swapped[above] = scores[above[::-1]]
    assert mean_auroc_difference(swapped[np.newaxis], scores[np.newaxis], LABELS) == EQUAL


@pytest.mark.parametrize(("num_normal", "num_defect"), [(4, 11), (5, 3), (60, 9), (9, 60)])
def test_a_few_samples_in_one_order_do_not_make_two_models_one(num_normal: int, num_defect: int) -> None:
    labels = np.repeat([0, 1], [num_normal, num_defect])
    scores = np.random.default_rng(0).normal(labels, 1, (1, len(labels)))
    found = mean_auroc_difference(scores, scores, labels)
    assert (found.value, found.method) == (0, "newcombe") and found.low < -0.1 < 0.1 < found.high


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize(
    ("num_normal", "num_defect", "method"), [(10, 10, "delong"), (9, 60, "newcombe"), (60, 9, "newcombe")]
)
def test_an_estimate_says_what_made_its_interval(num: int, num_normal: int, num_defect: int, method: str) -> None:
    labels = np.repeat([0, 1], [num_normal, num_defect])
    first, second = np.random.default_rng(0).normal(labels, 1, (2, num, len(labels)))
    assert mean_auroc(first, labels).method == mean_auroc_difference(first, second, labels).method == method
    apart = first + 9 * labels  # whatever the numbers, DeLong's variance is nothing
    assert mean_auroc(apart, labels).method == mean_auroc_difference(apart, second + 9 * labels, labels).method
    assert mean_auroc(apart, labels).method == "newcombe"


def test_one_class_and_broken_scores_are_errors() -> None:
    with pytest.raises(MetricError, match="at least one of each"):
        mean_auroc(np.ones((2, 3)), np.zeros(3, dtype=np.int64))
    with pytest.raises(MetricError, match="not finite"):
        mean_auroc_difference(np.array([[1.0, 2.0]]), np.array([[1.0, np.nan]]), np.array([0, 1]))


@given(num_normal=st.integers(1, 14), num_defect=st.integers(1, 14), num=st.integers(1, 4), seed=st.integers(0, 1000))
@settings(max_examples=100)
def test_intervals_hold_the_value_and_stay_in_range(num_normal: int, num_defect: int, num: int, seed: int) -> None:
    generator, labels = np.random.default_rng(seed), np.repeat([0, 1], [num_normal, num_defect])
    first, second = generator.integers(0, 4, (2, num, len(labels))).astype(np.float64)
    estimate = mean_auroc(first, labels)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1 and estimate.low < estimate.high
    between = mean_auroc_difference(first, second, labels)
    assert -1 <= between.low <= between.value <= between.high <= 1
    assert between.value == pytest.approx(estimate.value - mean_auroc(second, labels).value)


def test_a_share_of_one_repeat_has_the_ordinary_interval_and_seeds_that_differ_widen_it() -> None:
    right = np.arange(40) < 30
    one, ordinary = mean_share(right[None]), clopper_pearson(30, trials=40)
    assert one.value == ordinary.value
    assert (one.low, one.high) == pytest.approx((ordinary.low, ordinary.high), abs=1e-15)
    assert mean_share(np.stack([right] * 3)) == one
    apart = mean_share(np.stack([np.arange(40) < 26, np.arange(40) < 34]))
    assert apart.value == one.value and apart.low < one.low and apart.high > one.high


def test_a_difference_of_shares_is_paired() -> None:
    generator = np.random.default_rng(0)
    reference = generator.random((3, 200)) < 0.7
    better = reference | (generator.random((3, 200)) < 0.2)
    found = mean_share_difference(better, reference)
    assert found.method == "pairs" and found.value == pytest.approx(better.mean() - reference.mean())
    turned = mean_share_difference(reference, better)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))
    apart = mean_share(better), mean_share(reference)
    assert found.high - found.low < sum(each.high - each.low for each in apart) / 2
    assert mean_share_difference(better, better) == EQUAL


@pytest.mark.parametrize("num", [9, 50])
def test_shares_that_pairs_say_nothing_of(num: int) -> None:
    always, never = np.ones((2, num), dtype=bool), np.zeros((2, num), dtype=bool)
    found = mean_share_difference(always, never)
    assert found.method == "clopper_pearson" and found.value == found.high == 1 and found.low < 1


def test_intervals_of_shares_cover() -> None:
    """Seeds that move the accuracy, samples of which some are hard for all of them."""
    generator, held = np.random.default_rng(5), np.zeros((200, 2), dtype=bool)
    for draw in held:
        hard = generator.random(60) < 0.5
        sides = []
        for shift in (0.0, 0.1):
            chances = np.clip(generator.normal(0.6 + shift, 0.05, (3, 1)) + np.where(hard, -0.2, 0.2), 0, 1)
            sides.append(generator.random((3, 60)) < chances)
        mean, difference = mean_share(sides[0]), mean_share_difference(sides[1], sides[0])
        draw[:] = mean.contains(0.6), difference.contains(0.1)
    assert held.mean(axis=0).min() > 0.93


def test_the_mean_of_a_value_has_students_interval_where_samples_are_independent() -> None:
    values = np.random.default_rng(0).exponential(size=(1, 12))
    found = mean_value(values)
    reach = t.ppf(0.975, 11) * values.std(ddof=1) / np.sqrt(12)
    assert (found.value, found.low, found.high) == pytest.approx(
        (values.mean(), values.mean() - reach, values.mean() + reach)
    )
    assert found.method == "spread" and mean_value(values, groups=[""] * 12) == found


def test_copies_of_one_object_say_no_more_than_the_object() -> None:
    of_objects = np.random.default_rng(0).normal(size=(1, 8))
    objects = mean_value(of_objects)
    copied = mean_value(np.repeat(of_objects, 5, axis=1), groups=np.repeat([f"{row}" for row in range(8)], 5).tolist())
    assert copied.method == "clustered"
    assert (copied.value, copied.low, copied.high) == pytest.approx((objects.value, objects.low, objects.high))


def test_seeds_that_differ_widen_the_interval_of_a_value() -> None:
    values = np.random.default_rng(0).normal(size=(1, 30))
    alike, apart = (mean_value(np.concatenate([values - step, values, values + step])) for step in (0.0, 1.0))
    assert apart.value == pytest.approx(alike.value) and apart.high - apart.low > 2 * (alike.high - alike.low)


@pytest.mark.parametrize(("values", "groups"), [([[1.0]], None), ([[0.0, 1, 2, 3]], ["a", "a", "b", "b"])])
def test_too_few_to_vary_have_their_range(values: list[list[float]], groups: list[str] | None) -> None:
    found = mean_value(np.array(values), groups=groups)
    assert (found.low, found.high, found.method) == (min(values[0]), max(values[0]), "range")


@pytest.mark.parametrize("values", [np.empty((1, 0)), np.array([[1.0, np.nan]])])
def test_a_mean_takes_finite_values(values: np.ndarray) -> None:
    with pytest.raises(MetricError, match="finite"):
        mean_value(values)
