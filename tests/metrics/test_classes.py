"""Figures of classes against scikit-learn, and where a class is missing on one side."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from weldcache.metrics.classes import balanced_accuracy, class_figures, confusion_counts, macro_f1


def test_against_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    true, predicted = generator.integers(0, 4, 200), generator.integers(0, 4, 200)
    found = class_figures(true, predicted)
    for figure, reference in (("recall", recall_score), ("precision", precision_score)):
        expected = reference(true, predicted, average=None)
        assert [getattr(each, figure).value for each in found.values()] == pytest.approx(expected)
    assert macro_f1(list(found.values())) == pytest.approx(f1_score(true, predicted, average="macro"))
    counts = confusion_counts(true, predicted, classes=list(found))
    np.testing.assert_array_equal(counts, confusion_matrix(true, predicted))


def test_a_class_that_is_never_there_or_never_predicted() -> None:
    found = class_figures(np.array([0, 0, 2]), np.array([0, 1, 1]))
    assert list(found) == [0, 1, 2]
    assert found[1].recall is None and found[2].precision is None
    assert (found[0].f1, found[1].f1, found[2].f1) == (2 / 3, 0, 0)


@pytest.mark.filterwarnings("ignore::UserWarning:sklearn")  # of classes that are on one side alone
@settings(max_examples=40)
@given(pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40))
def test_balanced_accuracy_is_scikit_learns(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    figures = class_figures(true, predicted)
    # Classes that are predicted and never there have no share that is found, on either side.
    assert balanced_accuracy(list(figures.values())) == pytest.approx(balanced_accuracy_score(true, predicted))
