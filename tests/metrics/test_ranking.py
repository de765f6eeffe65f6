"""ROC points against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import SearchStrategy
from sklearn.metrics import average_precision_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from weldcache.errors import MetricError
from weldcache.metrics.ranking import auroc, average_precision, equal_error_rate, fpr_at_tpr, roc_curve


def test_equals_scikit_learn_and_has_the_auroc_as_area(
    scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]],
) -> None:
    @given(scored_samples)
    @settings(max_examples=100)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        scores, labels = sample
        curve = roc_curve(scores, labels)
        fpr, tpr, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
        np.testing.assert_allclose(curve.fpr, fpr, atol=1e-12)
        np.testing.assert_allclose(curve.tpr, tpr, atol=1e-12)
        assert np.trapezoid(curve.tpr, curve.fpr) == pytest.approx(auroc(scores, labels), abs=1e-12)

    check()


def test_fpr_at_tpr_by_hand() -> None:
    scores = np.array([9.0, 7.0, 5.0, 3.0, 8.0, 4.0, 2.0, 1.0])
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    assert fpr_at_tpr(scores, labels, tpr=0.25) == 0.0
    assert fpr_at_tpr(scores, labels, tpr=0.75) == 0.25
    assert fpr_at_tpr(scores, labels, tpr=0.76) == 0.5


def test_nineteen_of_twenty_are_95_percent() -> None:
    # The lowest defect lies below the only normal; leaving it out must be enough.
    scores = np.array([*range(2, 21), 0, 1], dtype=np.float64)
    assert fpr_at_tpr(scores, np.array([1] * 20 + [0]), tpr=0.95) == 0.0


def test_one_class_is_an_error() -> None:
    with pytest.raises(MetricError):
        roc_curve(np.array([1.0]), np.array([1]))


def test_equals_scikit_learn(scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]]) -> None:
    @given(scored_samples)
    @settings(max_examples=200)
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


def test_the_equal_error_rate_is_that_of_scikit_learns_curve(
    scored_samples: SearchStrategy[tuple[np.ndarray, np.ndarray]],
) -> None:
    @given(scored_samples)
    @settings(max_examples=40)
    def check(sample: tuple[np.ndarray, np.ndarray]) -> None:
        scores, labels = sample
        fpr, tpr, _ = sklearn_roc_curve(labels, scores, drop_intermediate=False)
        # Where misses are as many as false alarms: by bisection along the length of the curve.
        along = np.arange(len(fpr), dtype=np.float64)
        low, high = 0.0, float(along[-1])
        for _ in range(60):
            middle = (low + high) / 2
            surplus = np.interp(middle, along, fpr) + np.interp(middle, along, tpr) - 1
            low, high = (low, middle) if surplus >= 0 else (middle, high)
        assert equal_error_rate(scores, labels) == pytest.approx(np.interp(high, along, fpr), abs=1e-9)

    check()
