"""Caveats: each is raised by the data that call for it, and a sound evaluation raises none."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.tasks.anomaly.caveats import caveats, verdict
from weldcache.evaluate.tasks.anomaly.controls.control import Control, Controls, Rival
from weldcache.evaluate.tasks.anomaly.figures import Assessment
from weldcache.metrics.estimate import Estimate
from weldcache.metrics.repeats import RepeatsEstimate

MakeTable = Callable[..., ScoreTable]
MakeAssessment = Callable[..., Assessment]
WarningsOf = Callable[..., tuple[str, ...]]


def _with_rival(controls: Controls, name: str, auroc: Estimate | None) -> Controls:
    """The controls with another figure in the place of one, of which nothing else is known."""
    found = replace(controls.rivals[name], auroc=auroc, reason=None if auroc else "none", difference=None)
    return replace(controls, rivals={**controls.rivals, name: found})


@pytest.fixture
def warnings_of(make_assessment: MakeAssessment, validation_table: ScoreTable) -> WarningsOf:
    """What is said of an assessment of a table, made with the same replacements."""

    def made(test: ScoreTable, *, validation: ScoreTable = validation_table, **replaced: Any) -> tuple[str, ...]:
        return caveats(make_assessment(test, validation=validation, **replaced), validation=validation, test=test)

    return made


def test_a_sound_evaluation_raises_none(table: ScoreTable, warnings_of: WarningsOf) -> None:
    assert warnings_of(table) == ()


def test_chance(make_table: MakeTable, warnings_of: WarningsOf) -> None:
    (text,) = [text for text in warnings_of(make_table(shift=0.0)) if "better than chance" in text]
    assert "includes 0.5" in text


def test_turned_round_scores(table: ScoreTable, warnings_of: WarningsOf) -> None:
    assert "below 0.5" in warnings_of(replace(table, scores=-table.scores))[0]


def test_equal_scores(table: ScoreTable, warnings_of: WarningsOf) -> None:
    assert "All scores are equal" in warnings_of(replace(table, scores=np.ones(len(table))))[0]


def test_media_free_control_beats_the_model(make_table: MakeTable, warnings_of: WarningsOf) -> None:
    train = make_table(split="train", num_defect=0, confounded=True)
    (text,) = warnings_of(make_table(confounded=True), train=train)
    assert "As good as the model" in text and "the media-free control" in text and "sees defects" in text


@pytest.mark.parametrize(("control", "raised"), [(Estimate(0.7, 0.6, 0.8), False), (Estimate(0.8, 0.7, 0.9), True)])
def test_media_free_control_comes_close(
    control: Estimate, raised: bool, table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    made = make_assessment(table)
    assessment = replace(made, auroc=replace(made.auroc, value=0.85, low=0.81, high=0.89))
    close = _with_rival(assessment.controls, "media_free_control", control)
    texts = caveats(replace(assessment, controls=close), validation=validation_table, test=table)
    assert any("Close to the model" in text for text in texts) == raised


def test_no_media_free_control(table: ScoreTable, warnings_of: WarningsOf) -> None:
    (text,) = warnings_of(replace(table, attributes={}))
    assert "no media-free control, because the data set records no attributes" in text


def test_file_metadata_that_give_classes_away(table: ScoreTable, warnings_of: WarningsOf) -> None:
    """As good as the model, close to it, and no better than chance, of which nothing is said."""
    longer = table.labels.astype(float)
    files = {"audio tokens": longer}
    for worth, words in ((1.0, "the file-metadata control (1.000"), (0.75, "Close to the model"), (0.0, None)):
        half = np.where(np.random.default_rng(0).random(len(table)) < worth, longer, 0.0)
        files = {"audio tokens": half}
        texts = warnings_of(table, files=files, train_files={"audio tokens": np.zeros(5)})
        assert [words in text for text in texts] == ([True] if words else [])


def test_random_scores_that_know_the_label(
    table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    assessment = make_assessment(table)
    broken = replace(assessment, controls=replace(assessment.controls, random=Estimate(0.9, 0.85, 0.94)))
    assert "evaluation itself is broken" in caveats(broken, validation=validation_table, test=table)[0]


def test_random_scores_raise_no_false_alarm(make_table: MakeTable, warnings_of: WarningsOf) -> None:
    for seed in range(30):
        assert not any("broken" in text for text in warnings_of(make_table(seed=seed)))


def test_evaluating_validation_itself(validation_table: ScoreTable, warnings_of: WarningsOf) -> None:
    texts = warnings_of(validation_table)
    assert "150 of the 150 evaluated samples are also validation samples" in texts[0]
    assert any("no group-disjoint AUROC" in text for text in texts)


def test_shared_groups(table: ScoreTable, train_table: ScoreTable, warnings_of: WarningsOf) -> None:
    groups = (*(train_table.groups[0],) * 20, *table.groups[20:])
    (text,) = warnings_of(replace(table, groups=groups))
    assert "20 of the 150 evaluated samples come from groups" in text


def test_validation_far_better(table: ScoreTable, make_table: MakeTable, warnings_of: WarningsOf) -> None:
    validation = make_table(split="val", seed=1, shift=3.5)
    assert any("Validation looks better" in text for text in warnings_of(table, validation=validation))


def test_weights_far_apart(table: ScoreTable, warnings_of: WarningsOf) -> None:
    raw = table.scores + np.random.default_rng(0).normal(0, 2, len(table))
    (text,) = warnings_of(replace(table, raw_scores=raw))
    assert "Averaged and raw weights are far apart" in text


def test_threshold_from_too_few_normals(table: ScoreTable, make_table: MakeTable, warnings_of: WarningsOf) -> None:
    texts = warnings_of(table, validation=make_table(split="val", num_normal=19, seed=1))
    assert any("19 validation normals are too few to set a false-alarm rate of 5.0%" in text for text in texts)


def test_normals_that_moved_since_validation(table: ScoreTable, warnings_of: WarningsOf) -> None:
    texts = warnings_of(replace(table, scores=table.scores + 1.5, raw_scores=table.raw_scores + 1.5))
    assert any("validation normals may not resemble these" in text for text in texts)


def test_few_normals_and_small_classes(make_table: MakeTable, warnings_of: WarningsOf) -> None:
    texts = warnings_of(make_table(num_normal=20, num_defect=12, shift=3.0))
    assert any("Only 20 normal samples" in text for text in texts)
    assert any(text.endswith("on their own: porosity, spatter, undercut.") for text in texts)


@pytest.mark.parametrize(
    ("model", "control", "standing", "words"),
    [
        (Estimate(0.85, 0.8, 0.9), Estimate(0.5, 0.4, 0.6), "good", "beats chance and every control"),
        (Estimate(0.85, 0.8, 0.9), Estimate(0.8, 0.7, 0.9), "doubtful", "not clearly the media-free"),
        (Estimate(0.85, 0.8, 0.9), Estimate(0.86, 0.8, 0.9), "bad", "does not beat the media-free control"),
        (Estimate(0.85, 0.8, 0.9), None, "doubtful", "control is missing"),
        (Estimate(0.55, 0.45, 0.65), Estimate(0.3, 0.2, 0.4), "bad", "not shown to be better than chance"),
        (Estimate(0.1, 0.05, 0.2), None, "bad", "not shown to be better than chance"),
    ],
)
def test_standing(
    model: Estimate,
    control: Estimate | None,
    standing: str,
    words: str,
    table: ScoreTable,
    make_assessment: Callable[..., Assessment],
) -> None:
    assessment = make_assessment(table)
    controls = _with_rival(assessment.controls, "media_free_control", control)
    judged = verdict(replace(assessment, auroc=model, controls=controls))
    assert judged.standing == standing
    assert words in judged.headline
    assert f"about {100 * model.value:.0f} (" in judged.explanation


def test_the_stronger_control_counts(table: ScoreTable, make_assessment: Callable[..., Assessment]) -> None:
    assessment = make_assessment(table)
    beaten = _with_rival(assessment.controls, "media_free_control", Estimate(0.5, 0.4, 0.6))
    model = Estimate(0.85, 0.8, 0.9)
    for control, standing, words in (
        (Estimate(0.6, 0.5, 0.7), "good", "beats chance and"),
        (Estimate(0.8, 0.7, 0.9), "doubtful", "not clearly the file-metadata control"),
        (Estimate(0.9, 0.8, 0.95), "bad", "does not beat the file-metadata control"),
    ):
        controls = _with_rival(beaten, "file_metadata_control", control)
        judged = verdict(replace(assessment, auroc=model, controls=controls))
        assert judged.standing == standing and words in judged.headline


def test_scores_on_several_scales_show_nothing(rich_assessment: Assessment) -> None:
    assert rich_assessment.whole is not None
    judged = verdict(replace(rich_assessment, whole=replace(rich_assessment.whole, num_own_scale=3)))
    assert judged.standing == "bad" and "several scales" in judged.headline
    assert "3 samples" in judged.explanation


def test_a_control_that_sees_media_says_nothing_against_the_defects(
    table: ScoreTable, validation_table: ScoreTable, make_assessment: Callable[..., Assessment]
) -> None:
    made = make_assessment(table)
    assessment = replace(made, auroc=replace(made.auroc, value=0.85, low=0.8, high=0.9))
    probe = Control(Rival("untrained score", "the film", of_media=True), auroc=Estimate(0.86, 0.8, 0.9))
    found = replace(assessment, controls=replace(assessment.controls, rivals={"probe": probe}))
    judged = verdict(found)
    assert judged.standing == "doubtful" and "does not beat the untrained score" in judged.headline
    (text,) = caveats(found, validation=validation_table, test=table)
    assert "training adds" in text and "sees defects" not in text


def test_a_probe_that_is_stronger_does_not_hide_a_control_that_sees_no_media(
    table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    made = make_assessment(table)
    model = replace(made.auroc, value=0.85, low=0.8, high=0.9)
    probe = Control(Rival("untrained score", "the film", of_media=True), auroc=Estimate(0.93, 0.9, 0.95))
    settings = Control(Rival("media-free control", "the settings"), auroc=Estimate(0.86, 0.8, 0.9))
    controls = replace(made.controls, rivals={"probe": probe, "media_free_control": settings})
    judged = verdict(replace(made, auroc=model, controls=controls))
    assert judged.standing == "bad" and "media-free control" in judged.headline
    # Nor do deals of labels that reach as much, as they do where few groups can be dealt in few ways.
    few = replace(controls, permutation=replace(controls.permutation, p_value=0.1))
    assert verdict(replace(made, auroc=model, controls=few)).standing == "bad"


@pytest.mark.parametrize(
    ("control", "difference", "beats", "close"),
    [
        (0.86, (-0.05, 0.03), True, True),
        (0.81, (0.01, 0.07), False, True),  # within the model's interval
        (0.75, (-0.02, 0.22), False, True),  # may be no difference
        (0.75, (0.05, 0.15), False, False),  # its interval overlaps the model's, but the pairs tell them apart
        (0.40, (0.35, 0.55), False, False),
    ],
)
def test_what_is_close(control: float, difference: tuple[float, float], *, beats: bool, close: bool) -> None:
    model, value = Estimate(0.85, 0.8, 0.9), 0.85 - control
    found = Control(
        Rival("control", "nothing"),
        auroc=Estimate(control, control - 0.08, control + 0.08),
        difference=RepeatsEstimate(value, low=difference[0], high=difference[1], method="delong"),
    )
    assert (found.beats(model), found.comes_close(model)) == (beats, close)


def test_near_chance_nothing_is_close() -> None:
    control = Control(Rival("control", "nothing"), auroc=Estimate(0.55, 0.45, 0.65))
    assert not control.comes_close(Estimate(0.6, 0.48, 0.7))
    assert not control.beats(Estimate(0.6, 0.48, 0.7))


def test_the_verdict_is_headed_by_what_the_alarms_do(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assessment = make_assessment(table)
    judged, chosen = verdict(assessment), assessment.chosen
    assert judged.standing == "good" and judged.section(()).title.endswith(judged.headline)
    assert judged.section(()).title.startswith(f"{chosen.recall.value:.0%} of the defects found at ")
    assert judged.explanation.startswith("Of the defects")


def test_a_missed_target_is_never_good(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    low = make_table(split="val", seed=4)
    low = replace(low, scores=low.scores - 1.0)
    assessment = make_assessment(table, validation=low)
    assert assessment.chosen.misses_target
    judged = verdict(assessment)
    assert judged.standing == "doubtful" and "misses the false-alarm target" in judged.headline


def test_a_missed_target_is_not_good_where_few_groups_leave_the_interval_wide(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    low = make_table(split="val", seed=4)
    low = replace(low, scores=low.scores - 0.9)
    groups = tuple("a" if score > 31.2 else f"g{row % 4}" for row, score in enumerate(table.scores[:60].tolist()))
    test = replace(table, groups=(*groups, *table.groups[60:]))
    assessment = make_assessment(test, validation=low)
    chosen = assessment.chosen
    assert chosen.fpr.value > 0.1 and chosen.fpr.contains(0.05)
    assert chosen.misses_target and verdict(assessment).standing != "good"


def test_groups_that_are_known_of_some_samples_alone(table: ScoreTable, warnings_of: WarningsOf) -> None:
    (text,) = [text for text in warnings_of(replace(table, groups=("",) * 9 + table.groups[9:])) if "not known" in text]
    assert "9 samples" in text
    few = replace(table, groups=tuple(f"g{row % 3}" for row in range(len(table))))
    assert any("fewer than 5 groups" in text for text in warnings_of(few))
