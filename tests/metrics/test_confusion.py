"""Counts at a threshold, and what follows from them, against scikit-learn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, recall_score

from weldcache.metrics.confusion import Confusion, confusion_at


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
