"""The test of a threshold on new normals: calibrated where a plain interval is not."""

import numpy as np
import pytest
from scipy.special import comb

from weldcache.metrics.binomial import clopper_pearson
from weldcache.metrics.exceedance import exceedance_p_value, exceedance_rate
from weldcache.metrics.threshold import normal_quantile_threshold


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
