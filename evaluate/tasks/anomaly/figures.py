"""The figures of an anomaly detector on a scored split, from scores alone."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ....errors import MetricError
from ....metrics.clustered import ClusteredEstimate, grouped_auroc
from ....metrics.estimate import Estimate
from ....metrics.ranking import average_precision, equal_error_rate, fpr_at_tpr
from ....metrics.threshold import Confusion
from ....train.recipes.published import Reference
from ...scores import ScoreTable
from .controls.control import Controls
from .defects import SMALLEST_GROUP, TOO_SMALL_NOTE, ClassResult, TargetResult, class_results
from .members import MemberResult
from .modalities import ModalityResult
from .scale import WholeSamples
from .thresholds import AlarmThreshold, AtThreshold, GroupShift, at_threshold, expected_fpr, group_shifts


@dataclass(frozen=True)
class GroupDisjoint:
    """AUROC over the samples from groups that neither training nor validation saw; `note` says what limits it."""

    auroc: ClusteredEstimate | None
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
        eer: equal error rate.
        num_unknown_group: samples whose group is not known, each of which counts as a group of its own.
        per_class: by defect class, in alphabetical order.
        chosen: what the threshold of the settings does to the samples.
        thresholds: the same of several targets, the strictest first.
        expected_fpr: of other normals at the threshold of the settings, from validation's alone.
        shifts: where the normals of each group lie.
        validation_auroc: None where validation has one class only.
        recorded_validation_auroc: what training's log says of the same weights; None where it says nothing.
        modalities: by modality the model without it; empty where it can do without none.
        by_target: the defects by each further target that tells them apart; empty where none does.
        members: by name each of several models that are put together; empty where the model is one.
        whole: the samples that lack nothing; None where all are such, so that there is nothing to compare.
        references: published AUROCs by the name of their class, of whatever classes somebody knows.
        validation_is_rescaled: whether `validation_auroc` is over scores that were put on one scale, unlike what
            training's log says.
    """

    auroc: ClusteredEstimate
    raw_auroc: ClusteredEstimate | None
    ap: float
    fpr_at_95_tpr: float
    eer: float
    num_normal: int
    num_defect: int
    num_unknown_group: int
    per_class: Mapping[str, ClassResult]
    chosen: AtThreshold
    thresholds: Sequence[AtThreshold]
    expected_fpr: Estimate
    shifts: Sequence[GroupShift]
    controls: Controls
    group_disjoint: GroupDisjoint
    validation_auroc: ClusteredEstimate | None
    recorded_validation_auroc: float | None = None
    modalities: Mapping[str, ModalityResult] = field(default_factory=dict)
    by_target: Mapping[str, TargetResult] = field(default_factory=dict)
    members: Mapping[str, MemberResult] = field(default_factory=dict)
    whole: WholeSamples | None = None
    references: Mapping[str, Reference] = field(default_factory=dict)
    validation_is_rescaled: bool = False

    @property
    def threshold(self) -> AlarmThreshold:
        """That of the settings, by which alarms are raised."""
        return self.chosen.threshold

    @property
    def confusion(self) -> Confusion:
        """Alarms at that threshold among the samples."""
        return self.chosen.confusion


def assess(
    *,
    test: ScoreTable,
    validation: ScoreTable,
    controls: Controls,
    train_groups: Collection[str],
    threshold: AlarmThreshold,
    thresholds: Sequence[AlarmThreshold] = (),
) -> Assessment:
    """Judge the scores of `test`.

    Args:
        test: the samples to report on, of both labels.
        validation: the samples that chose the weights and gave the threshold; they may hold no defects.
        controls: what can be had of `test` without the model.
        train_groups: the groups of the samples that the model trained on.
        threshold: from the normals of `validation`.
        thresholds: further ones, of other targets.

    Raises:
        MetricError: `test` has one label only.
    """
    return Assessment(
        auroc=grouped_auroc(test.scores, test.labels, groups=test.groups),
        raw_auroc=None if test.raw_scores is None else grouped_auroc(test.raw_scores, test.labels, groups=test.groups),
        ap=average_precision(test.scores, test.labels),
        fpr_at_95_tpr=fpr_at_tpr(test.scores, test.labels, tpr=0.95),
        eer=equal_error_rate(test.scores, test.labels),
        num_normal=int(np.count_nonzero(test.labels == 0)),
        num_defect=int(np.count_nonzero(test.labels == 1)),
        num_unknown_group=test.groups.count(""),
        per_class=class_results(test, test.class_names),
        chosen=at_threshold(threshold, test),
        thresholds=[at_threshold(each, test) for each in thresholds],
        expected_fpr=expected_fpr(threshold, validation),
        shifts=group_shifts(validation=validation, test=test),
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


def _auroc_if_defined(table: ScoreTable) -> ClusteredEstimate | None:
    return (
        grouped_auroc(table.scores, table.labels, groups=table.groups) if len(set(table.labels.tolist())) == 2 else None
    )


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
