"""Probabilities: as scikit-learn fits them, and bins against a slow reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import brier_score_loss, log_loss

from weldcache.metrics.calibration import class_brier, isotonic_curve, logistic_curve, reliability, temperature


def test_a_logistic_curve_finds_the_one_that_made_the_labels() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(30, 2, 20_000)
    truth = expit(1.5 * (scores - 31))
    labels = (generator.random(20_000) < truth).astype(np.int64)
    found = logistic_curve(scores, labels)
    assert np.abs(found.at(scores) - truth).max() < 0.03


def test_classes_apart_leave_finite_probabilities() -> None:
    labels = np.repeat([0, 1], 20)
    found = logistic_curve(100.0 * labels, labels).at(np.array([0.0, 50.0, 100.0]))
    assert 0 < found[0] < 0.1 and 0.9 < found[2] < 1 and found[0] < found[1] < found[2]


@settings(max_examples=25)
@given(pairs=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 1)), max_size=30))
def test_an_isotonic_curve_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    scores, labels = np.array([(0, 0), (5, 1), *pairs]).T
    known = IsotonicRegression(out_of_bounds="clip").fit(scores.astype(float), labels)
    new = np.linspace(-1, 10, 23)
    np.testing.assert_allclose(isotonic_curve(scores.astype(float), labels).at(new), known.predict(new), atol=1e-9)


def test_a_temperature_is_the_likeliest() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 2, (3000, 4))
    classes = np.array([generator.choice(4, p=row) for row in softmax(logits / 2.5, axis=1)])
    found = temperature(logits, classes)
    assert found == pytest.approx(2.5, rel=0.1)
    losses = [log_loss(classes, softmax(logits / each, axis=1)) for each in (found, 0.9 * found, 1.1 * found)]
    assert losses[0] == min(losses)


@settings(max_examples=25)
@given(pairs=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_all_samples(pairs: list[tuple[float, bool]]) -> None:
    probabilities, came_true = np.array([p for p, _ in pairs]), np.array([hit for _, hit in pairs])
    found = reliability(probabilities, came_true)
    assert sum(each.num for each in found.bins) == len(pairs)
    if 0 < came_true.sum() < len(pairs):
        assert found.brier == pytest.approx(brier_score_loss(came_true, probabilities))
    slow = 0.0
    for place in range(10):
        inside = [hit - p for p, hit in pairs if min(int(p * 10), 9) == place]
        slow += abs(sum(inside)) / len(pairs)
    assert found.ece == pytest.approx(slow)


@settings(max_examples=25)
@given(
    rows=st.lists(
        st.tuples(st.lists(st.floats(-9, 9), min_size=3, max_size=3), st.integers(0, 2)), min_size=1, max_size=30
    )
)
def test_a_brier_score_over_classes_is_scikit_learns(rows: list[tuple[list[float], int]]) -> None:
    probabilities, classes = (
        softmax(np.array([values for values, _ in rows]), axis=1),
        np.array([each for _, each in rows]),
    )
    expected = brier_score_loss(classes, probabilities, labels=[0, 1, 2])
    assert class_brier(probabilities, classes) == pytest.approx(expected, abs=1e-12)
