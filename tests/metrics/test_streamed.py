"""Figures from bins against those of the scores themselves."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from weldcache.metrics.ranking import fpr_at_tpr
from weldcache.metrics.streamed import ScoreCounts, macro_figures, micro_figures, together


def counted(scores: np.ndarray, labels: np.ndarray) -> ScoreCounts:
    counts = ScoreCounts()
    counts.add(scores.astype(np.float32), labels)
    return counts


def drawn(seed: int, num: int = 4000, *, rare: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(num) < rare).astype(np.int64)
    return rng.normal(labels * 1.5 - 2, 1.5), labels


def test_figures_are_those_of_the_scores_up_to_the_bins() -> None:
    scores, labels = drawn(0)
    found = counted(scores, labels).figures(budget=0.05)
    assert found.auroc_tolerance < 2e-3
    assert found.auroc == pytest.approx(roc_auc_score(labels, scores), abs=found.auroc_tolerance)
    assert found.ap == pytest.approx(average_precision_score(labels, scores), abs=0.01)
    assert found.fpr_at_95_tpr == pytest.approx(fpr_at_tpr(scores, labels, tpr=0.95), abs=0.01)
    above = scores >= found.threshold
    assert above[labels == 0].mean() <= 0.05
    assert above[labels == 1].mean() == pytest.approx(found.recall, abs=0.01)


def test_parts_that_come_one_after_another_make_the_same() -> None:
    scores, labels = drawn(1)
    whole, parts = counted(scores, labels), ScoreCounts()
    for start in range(0, len(scores), 37):
        parts.add(scores[start : start + 37].astype(np.float32), labels[start : start + 37])
    assert np.array_equal(whole.counts, parts.counts)
    assert np.array_equal(together([whole, parts]).counts, 2 * whole.counts)


def test_what_is_not_known_and_padding_count_for_nothing() -> None:
    counts = ScoreCounts()
    counts.add(np.array([1, 2, np.nan, 3], np.float32), np.array([0, 1, 1, -1]))
    assert (counts.num_negatives, counts.num_positives) == (1, 1)
    assert counts.figures(budget=0.5).auroc == 1.0


def test_equal_scores_tell_nothing() -> None:
    found = counted(np.zeros(10), np.arange(10) % 2).figures(budget=0.05)
    assert found.auroc == 0.5 and found.auroc_tolerance == 0.5
    assert found.recall == 0.0 and found.threshold == np.inf


def test_a_threshold_finds_what_was_promised_elsewhere() -> None:
    threshold = counted(*drawn(2)).threshold(0.1)
    fpr, recall = counted(*drawn(3)).share_above(threshold)
    assert fpr == pytest.approx(0.1, abs=0.02) and recall is not None and recall > 0.2
    assert counted(np.zeros(3), np.zeros(3, np.int64)).share_above(0.0) == (1.0, None)


def test_macro_weighs_groups_and_micro_points() -> None:
    easy, hard = (np.array([-1.0, 1.0] * 500), np.arange(1000) % 2), (np.array([1.0, -1.0]), np.array([0, 1]))
    groups = {"a": counted(*easy), "b": counted(*hard), "c": counted(*hard)}
    num, macro = macro_figures(groups, budget=0.05)
    figures, micro = micro_figures(groups, budget=0.05)
    assert num == 3 and macro["auroc"].value == pytest.approx(1 / 3)
    assert figures.auroc == micro["auroc"].value > 0.99


def test_intervals_are_for_other_groups() -> None:
    groups = {str(seed): counted(*drawn(seed, 800)) for seed in range(12)}
    _, micro = micro_figures(groups, budget=0.05)
    _, macro = macro_figures(groups, budget=0.05)
    truth = roc_auc_score(*reversed(drawn(99, 100_000)))
    for found in (micro["auroc"], macro["auroc"]):
        assert found.low < truth < found.high and found.high - found.low < 0.1
    _, of_two = micro_figures({name: groups[name] for name in ("0", "1")}, budget=0.05)
    assert (of_two["auroc"].low, of_two["auroc"].high) == (0.0, 1.0)
