"""The assessment: each number against the metric it stands for, and the splits that it cannot judge."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from weldcache.errors import MetricError
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.tasks.anomaly.defects import TOO_SMALL_NOTE
from weldcache.evaluate.tasks.anomaly.figures import Assessment

MakeTable = Callable[..., ScoreTable]
MakeAssessment = Callable[..., Assessment]


def test_headline_numbers(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assessment = make_assessment(table)
    assert assessment.auroc.value == pytest.approx(roc_auc_score(table.labels, table.scores))
    assert assessment.raw_auroc.value == pytest.approx(roc_auc_score(table.labels, table.raw_scores))
    assert assessment.ap == pytest.approx(average_precision_score(table.labels, table.scores))
    assert (assessment.num_normal, assessment.num_defect) == (60, 90)
    assert assessment.controls.chance_ap == pytest.approx(90 / 150)
    assert assessment.controls.majority_accuracy == pytest.approx(90 / 150)
    assert assessment.controls.random.contains(0.5)


def test_each_defect_class_meets_all_normals(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assessment = make_assessment(table)
    assert list(assessment.per_class) == ["porosity", "spatter", "undercut"]
    names = np.array(table.class_names)
    among = (table.labels == 0) | (names == "spatter")
    expected = roc_auc_score(table.labels[among], table.scores[among])
    assert assessment.per_class["spatter"].auroc.value == pytest.approx(expected)
    assert assessment.per_class["spatter"].num == np.count_nonzero(names == "spatter") == 30
    assert assessment.per_class["spatter"].note is None


@pytest.mark.parametrize(("num_defect", "note"), [(4, TOO_SMALL_NOTE), (5, None)])
def test_small_classes_are_reported_and_noted(
    num_defect: int, note: str | None, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    result = make_assessment(make_table(num_defect=num_defect, classes=("warping",))).per_class["warping"]
    assert (result.num, result.note) == (num_defect, note)
    assert result.auroc.high - result.auroc.low > 0.1


def test_threshold_comes_from_validation_normals_alone(
    table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    assessment = make_assessment(table)
    threshold = assessment.threshold
    normal_scores = validation_table.scores[validation_table.labels == 0]
    assert threshold.value in normal_scores
    assert threshold.num_normal == 60
    assert threshold.num_normal_above == np.count_nonzero(normal_scores > threshold.value) == 3
    alarms = table.scores > threshold.value
    assert assessment.confusion.false_alarms == np.count_nonzero(alarms & (table.labels == 0))
    assert assessment.confusion.detected == np.count_nonzero(alarms & (table.labels == 1))

    # Neither the evaluated labels nor validation defects move it.
    flipped = make_assessment(replace(table, labels=1 - table.labels))
    no_defects = make_assessment(table, validation=validation_table.select(validation_table.labels == 0))
    assert flipped.threshold.value == no_defects.threshold.value == threshold.value


def test_normal_only_validation_gives_a_high_threshold(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    validation = make_table(split="val", num_normal=10, num_defect=0)
    assessment = make_assessment(table, validation=validation, target=0.01)
    assert assessment.threshold.value == validation.scores.max()
    assert assessment.validation_auroc is None


def test_group_disjoint_keeps_only_unseen_groups(
    table: ScoreTable, validation_table: ScoreTable, train_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    groups = list(table.groups)
    for row in range(0, len(groups), 3):
        groups[row] = train_table.groups[0]
    for row in range(1, len(groups), 3):
        groups[row] = validation_table.groups[0] if row % 2 else ""
    disjoint = make_assessment(replace(table, groups=tuple(groups))).group_disjoint
    alone = np.arange(len(table)) % 3 == 2
    assert disjoint.auroc is not None
    assert disjoint.auroc.value == pytest.approx(roc_auc_score(table.labels[alone], table.scores[alone]))
    assert (disjoint.num_normal, disjoint.num_defect) == (20, 30)
    assert disjoint.note is None


def test_group_disjoint_notes(
    table: ScoreTable, train_table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment
) -> None:
    whole = make_assessment(table).group_disjoint
    assert whole.note is not None and whole.note.startswith("whole split")
    unknown = make_assessment(replace(table, groups=("",) * len(table))).group_disjoint
    assert unknown.auroc is None and unknown.note == "no groups are recorded"
    seen = make_assessment(replace(table, groups=(train_table.groups[0],) * len(table))).group_disjoint
    assert seen.auroc is None and seen.note == "0 normal and 0 defect samples come from groups of their own"
    few = make_assessment(make_table(num_normal=4)).group_disjoint
    assert few.auroc is not None and few.note == TOO_SMALL_NOTE


def test_the_seed_fixes_everything(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    assert make_assessment(table) == make_assessment(table)


@pytest.mark.parametrize(("label", "held"), [(0, "only normals"), (1, "only defects")])
def test_a_split_with_one_label_is_refused(
    label: int, held: str, table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    with pytest.raises(MetricError, match=f"The part test holds {held}"):
        make_assessment(table.select(table.labels == label))


def test_an_empty_split_is_refused(table: ScoreTable, make_assessment: MakeAssessment) -> None:
    with pytest.raises(MetricError, match="holds no samples"):
        make_assessment(table.select(np.zeros(len(table), dtype=bool)))


def test_validation_without_normals_is_refused(
    table: ScoreTable, validation_table: ScoreTable, make_assessment: MakeAssessment
) -> None:
    with pytest.raises(MetricError, match="normal validation samples, and there are none"):
        make_assessment(table, validation=validation_table.select(validation_table.labels == 1))
