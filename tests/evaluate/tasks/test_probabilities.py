"""The section of probabilities: fitted on validation, held against what came true, and with a reason where there can
be none."""

import json
from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.probabilities import (
    probabilities_of,
    sample_probabilities,
    section_of_logits,
    section_of_scores,
    temperature_of,
)


def _table(scores: np.ndarray, labels: np.ndarray) -> ScoreTable:
    num = len(scores)
    names = tuple(f"s{row}" for row in range(num))
    blank = ("",) * num
    return ScoreTable(
        keys=names,
        class_names=blank,
        groups=blank,
        parts=("test",) * num,
        labels=labels.astype(np.int64),
        scores=scores.astype(np.float64),
        raw_scores=None,
        lacks=blank,
        scales=("whole",) * num,
        attributes={},
    )


def _by_kind(section: Section) -> dict[Any, Any]:
    return {row[0]: row[1:] for row in section.rows[0].values}


def test_scores_become_probabilities_that_beat_the_share_of_defects() -> None:
    generator = np.random.default_rng(0)
    labels = np.tile([0, 1], 200)
    kept = probabilities_of(_table(generator.normal(2.0 * labels), labels))
    assert kept is not None and json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert (kept["num_normal"], kept["num_defect"]) == (200, 200)
    judged = _table(generator.normal(2.0 * labels), labels)
    section = section_of_scores(judged, kept)
    told = _by_kind(section)
    logistic, isotonic, share = told.values()
    assert 0 < logistic[0] < 0.2 and 0 < isotonic[0] < 0.2
    assert share == (0.25, 0.0)
    assert section.figures and {row[0] for row in section.rows[1].values} == set(told)
    shares = [row[2] for row in section.rows[1].values]
    assert all(each.low <= each.value <= each.high for each in shares)
    probabilities = np.array(sample_probabilities(judged, kept), dtype=np.float64)
    assert np.mean((probabilities - labels) ** 2) == pytest.approx(logistic[0])


def test_probabilities_that_fall_with_the_score_are_told() -> None:
    labels = np.tile([0, 1], 20)
    kept = probabilities_of(_table(-3.0 * labels, labels))
    assert "does not rise" in " ".join(section_of_scores(_table(labels, labels), kept).note)


def test_validation_without_defects_has_a_reason() -> None:
    kept = probabilities_of(_table(np.arange(5.0), np.zeros(5)))
    judged = _table(np.arange(4.0), np.array([0, 1, 0, 1]))
    section = section_of_scores(judged, kept)
    assert kept is None and not section.rows and "defects of validation" in section.note[0]
    assert sample_probabilities(judged, kept) == [None] * 4


def test_a_temperature_brings_confidence_down_to_what_comes_true() -> None:
    generator = np.random.default_rng(1)
    classes = generator.integers(0, 3, 600)
    logits = 8 * np.eye(3)[classes] + generator.normal(0, 8, (600, 3))
    found = temperature_of(logits[:300], np.where(np.arange(300) < 290, classes[:300], -1))
    assert found is not None and found > 1
    as_predicted, cooled = _by_kind(section_of_logits(logits[300:], classes[300:], temperature=found)).values()
    assert cooled[0] < as_predicted[0] and cooled[1] < as_predicted[1]


def test_validation_without_a_mistake_gives_no_temperature() -> None:
    classes = np.array([0, 1, 2, 1])
    logits = np.eye(3)[classes]
    assert temperature_of(logits, classes) is None and temperature_of(logits, np.full(4, -1)) is None
    assert temperature_of(logits, np.array([0, 1, 2, 2])) is not None
    section = section_of_logits(logits, classes, temperature=None)
    assert len(section.rows[0].values) == 1 and "no temperature" in section.note[0]
