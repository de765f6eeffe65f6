"""Average precision against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from sklearn.metrics import average_precision_score

from weldcache.errors import MetricError
from weldcache.metrics.average_precision import average_precision


def test_equals_scikit_learn(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=200, deadline=None)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        scores, labels = sample
        assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)

    check()


def test_by_hand() -> None:
    # Ranked defect, normal, defect: precision 1 at the first, 2/3 at the second.
    assert average_precision(np.array([3.0, 2.0, 1.0]), np.array([1, 0, 1])) == pytest.approx((1 + 2 / 3) / 2)


def test_equal_scores_give_the_share_of_defects() -> None:
    assert average_precision(np.zeros(10), np.array([1] * 7 + [0] * 3)) == pytest.approx(0.7)


def test_not_finite_is_an_error() -> None:
    with pytest.raises(MetricError):
        average_precision(np.array([np.nan, 1.0]), np.array([0, 1]))
