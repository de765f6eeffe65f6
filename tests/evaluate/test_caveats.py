"""Caveats: each is raised by the data that call for it, and a sound evaluation raises none."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.caveats import caveats
from weldcache.evaluate.results import Assessment
from weldcache.evaluate.scores import ScoreTable
from weldcache.metrics.estimate import Estimate

MakeTable = Callable[..., ScoreTable]
MakeAssessment = Callable[..., Assessment]


def test_a_sound_evaluation_raises_none(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assert make_assessment(table).warnings == ()


def test_chance(make_table: MakeTable, make_assessment: MakeAssessment) -> None:
    (text,) = [text for text in make_assessment(make_table(shift=0.0)).warnings if "better than chance" in text]
    assert "includes 0.5" in text


def test_turned_round_scores(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assert "below 0.5" in make_assessment(replace(table, scores=-table.scores)).warnings[0]


def test_equal_scores(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assert "All scores are equal" in make_assessment(replace(table, scores=np.ones(len(table)))).warnings[0]


def test_media_free_control_beats_the_model(make_table: MakeTable, make_assessment: MakeAssessment) -> None:
    train = make_table(split="train", num_defect=0, confounded=True)
    (text,) = make_assessment(make_table(confounded=True), train=train).warnings
    assert "media-free control is as good as the model or better" in text


@pytest.mark.parametrize(("control", "raised"), [(Estimate(0.7, 0.6, 0.8), False), (Estimate(0.8, 0.7, 0.9), True)])
def test_media_free_control_comes_close(
    control: Estimate, raised: bool, table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    assessment = replace(make_assessment(table), auroc=Estimate(0.85, 0.81, 0.89))
    close = replace(assessment.controls, media_free=replace(assessment.controls.media_free, auroc=control))
    texts = caveats(replace(assessment, controls=close), validation=validation_table, test=table)
    assert any("overlaps the model's" in text for text in texts) == raised


def test_no_media_free_control(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    (text,) = make_assessment(replace(table, attributes={})).warnings
    assert "no media-free control, because the data set records no attributes" in text


def test_file_metadata_that_give_classes_away(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    """As good as the model, close to it, and no better than chance, of which nothing is said."""
    longer = table.labels.astype(float)
    files = {"audio tokens": longer}
    for worth, words in ((1.0, "as good as the model or better (1.000"), (0.75, "give classes away"), (0.0, None)):
        half = np.where(np.random.default_rng(0).random(len(table)) < worth, longer, 0.0)
        files = {"audio tokens": half}
        texts = make_assessment(table, files=files, train_files={"audio tokens": np.zeros(5)}).warnings
        assert [words in text for text in texts] == ([True] if words else [])


def test_random_scores_that_know_the_label(
    table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    assessment = make_assessment(table)
    broken = replace(assessment, controls=replace(assessment.controls, random=Estimate(0.9, 0.85, 0.94)))
    assert "evaluation itself is broken" in caveats(broken, validation=validation_table, test=table)[0]


def test_random_scores_raise_no_false_alarm(make_table: MakeTable, make_assessment: MakeAssessment) -> None:
    for seed in range(30):
        assert not any("broken" in text for text in make_assessment(make_table(seed=seed)).warnings)


def test_evaluating_validation_itself(validation_table: ScoreTable, make_assessment: MakeAssessment) -> None:
    texts = make_assessment(validation_table).warnings
    assert "150 of the 150 evaluated samples are also validation samples" in texts[0]
    assert any("no session-disjoint AUROC" in text for text in texts)


def test_shared_sessions(table: ScoreTable, train_table: ScoreTable, make_assessment: MakeAssessment) -> None:
    sessions = (*(train_table.sessions[0],) * 20, *table.sessions[20:])
    (text,) = make_assessment(replace(table, sessions=sessions)).warnings
    assert "20 of the 150 evaluated samples come from sessions" in text


def test_validation_far_better(table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment) -> None:
    validation = make_table(split="val", seed=1, shift=5.0)
    assert any("Validation looks better" in text for text in make_assessment(table, validation=validation).warnings)


def test_weights_far_apart(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    raw = table.scores + np.random.default_rng(0).normal(0, 2, len(table))
    (text,) = make_assessment(replace(table, raw_scores=raw)).warnings
    assert "Averaged and raw weights are far apart" in text


def test_threshold_from_too_few_normals(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    texts = make_assessment(table, validation=make_table(split="val", num_normal=19, seed=1)).warnings
    assert any("19 validation normals are too few to set a false-alarm rate of 5.0%" in text for text in texts)


def test_normals_that_moved_since_validation(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    texts = make_assessment(replace(table, scores=table.scores + 1.5, raw_scores=table.raw_scores + 1.5)).warnings
    assert any("validation normals may not resemble these" in text for text in texts)


def test_few_normals_and_small_classes(make_table: MakeTable, make_assessment: MakeAssessment) -> None:
    texts = make_assessment(make_table(num_normal=20, num_defect=12, shift=3.0)).warnings
    assert any("Only 20 normal samples" in text for text in texts)
    assert any(text.endswith("on their own: porosity, spatter, undercut.") for text in texts)
