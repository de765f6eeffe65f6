"""Clopper-Pearson: published numbers, the definition, and coverage of at least 95 %."""

import numpy as np
import pytest
from scipy.stats import binom

from weldcache.metrics.binomial import clopper_pearson


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
