"""The figures of an anomaly detector on a scored split, from scores alone."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from ....errors import MetricError
from ....metrics.estimate import Estimate
from ....metrics.ranking import auroc_interval, average_precision, fpr_at_tpr
from ....metrics.threshold import Confusion, confusion_at, normal_quantile_threshold
from ...scores import ScoreTable
from .controls.control import Controls
from .defects import SMALLEST_GROUP, TOO_SMALL_NOTE, ClassResult, TargetResult, class_results
from .members import MemberResult
from .modalities import ModalityResult
from .scale import WholeSamples


@dataclass(frozen=True)
class AlarmThreshold:
    """A threshold from validation normals.

    Attributes:
        value: in the unit of the scores; scores strictly above raise an alarm.
        target_fpr: the false-alarm rate that was asked for.
        num_normal: how many validation normals it was taken from.
        num_normal_above: how many of them score above it.
    """

    value: float
    target_fpr: float
    num_normal: int
    num_normal_above: int


@dataclass(frozen=True)
class GroupDisjoint:
    """AUROC over the samples from groups that neither training nor validation saw; `note` says what limits it."""

    auroc: Estimate | None
    num_normal: int
    num_defect: int
    note: str | None


@dataclass(frozen=True)
class Assessment:
    """Everything that a report says about a trained model on one split.

    Attributes:
        auroc: with the averaged (EMA) weights, which are the ones a run ships.
        raw_auroc: with the weights of the same epoch as the optimiser left them, before averaging; None where it was
            fitted and there are no others.
        ap: average precision, defects being the positives.
        fpr_at_95_tpr: false-alarm rate where 95 % of the defects are found.
        per_class: by defect class, in alphabetical order.
        confusion: alarms at the threshold among the samples.
        validation_auroc: None where validation has one class only.
        recorded_validation_auroc: what training's log says of the same weights; None where it says nothing.
        modalities: by modality the model without it; empty where it can do without none.
        by_target: the defects by each further target that tells them apart; empty where none does.
        members: by name each of several models that are put together; empty where the model is one.
        whole: the samples that lack nothing; None where all are such, so that there is nothing to compare.
        validation_is_rescaled: whether `validation_auroc` is over scores that were put on one scale, unlike what
            training's log says.
    """

    auroc: Estimate
    raw_auroc: Estimate | None
    ap: float
    fpr_at_95_tpr: float
    num_normal: int
    num_defect: int
    per_class: Mapping[str, ClassResult]
    threshold: AlarmThreshold
    confusion: Confusion
    controls: Controls
    group_disjoint: GroupDisjoint
    validation_auroc: Estimate | None
    recorded_validation_auroc: float | None = None
    modalities: Mapping[str, ModalityResult] = field(default_factory=dict)
    by_target: Mapping[str, TargetResult] = field(default_factory=dict)
    members: Mapping[str, MemberResult] = field(default_factory=dict)
    whole: WholeSamples | None = None
    validation_is_rescaled: bool = False


def assess(
    *,
    test: ScoreTable,
    validation: ScoreTable,
    controls: Controls,
    train_groups: Collection[str],
    threshold: AlarmThreshold,
) -> Assessment:
    """Judge the scores of `test`.

    Args:
        test: the samples to report on, of both labels.
        validation: the samples that chose the weights and gave the threshold; they may hold no defects.
        controls: what can be had of `test` without the model.
        train_groups: the groups of the samples that the model trained on.
        threshold: from the normals of `validation`.

    Raises:
        MetricError: `test` has one label only.
    """
    return Assessment(
        auroc=auroc_interval(test.scores, test.labels),
        raw_auroc=None if test.raw_scores is None else auroc_interval(test.raw_scores, test.labels),
        ap=average_precision(test.scores, test.labels),
        fpr_at_95_tpr=fpr_at_tpr(test.scores, test.labels, tpr=0.95),
        num_normal=int(np.count_nonzero(test.labels == 0)),
        num_defect=int(np.count_nonzero(test.labels == 1)),
        per_class=class_results(test, test.class_names),
        threshold=threshold,
        confusion=confusion_at(threshold.value, scores=test.scores, labels=test.labels),
        controls=controls,
        group_disjoint=_group_disjoint(test, seen={*train_groups, *validation.groups}),
        validation_auroc=_auroc_if_defined(validation),
    )


def require_both_labels(test: ScoreTable) -> None:
    """Refuse samples that no AUROC can be had of.

    Raises:
        MetricError: `test` has one label only.
    """
    if len(set(test.labels.tolist())) < 2:
        held = "no samples" if not len(test) else f"only {'defects' if test.labels[0] else 'normals'}"
        parts = " and ".join(sorted(set(test.parts))) or "to evaluate"
        raise MetricError(
            f"The part {parts} holds {held}: AUROC compares defects with normals, so it needs both. "
            "Choose another split, or mend the labels of the data set."
        )


def _auroc_if_defined(table: ScoreTable) -> Estimate | None:
    return auroc_interval(table.scores, table.labels) if len(set(table.labels.tolist())) == 2 else None


def alarm_threshold(validation: ScoreTable, *, target_fpr: float) -> AlarmThreshold:
    """The threshold above which at most the share `target_fpr` of the validation normals lies.

    Raises:
        MetricError: as `normal_quantile_threshold`.
    """
    normal_scores = validation.scores[validation.labels == 0]
    value = normal_quantile_threshold(normal_scores, target_fpr=target_fpr)
    return AlarmThreshold(value, target_fpr, normal_scores.size, int(np.count_nonzero(normal_scores > value)))


def _group_disjoint(test: ScoreTable, *, seen: Collection[str]) -> GroupDisjoint:
    # An unknown group may be any group, so it counts as seen.
    alone = test.select(np.array([group != "" and group not in seen for group in test.groups], dtype=bool))
    num_normal, num_defect = (int(np.count_nonzero(alone.labels == label)) for label in (0, 1))
    note = None
    if not any(test.groups):
        note = "no groups are recorded"
    elif min(num_normal, num_defect) == 0:
        note = f"{num_normal} normal and {num_defect} defect samples come from groups of their own"
    elif min(num_normal, num_defect) < SMALLEST_GROUP:
        note = TOO_SMALL_NOTE
    elif len(alone) == len(test):
        note = "whole split"
    return GroupDisjoint(auroc=_auroc_if_defined(alone), num_normal=num_normal, num_defect=num_defect, note=note)
