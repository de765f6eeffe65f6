"""Assessment of a scored split: every number of the report, from scores alone."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from ..errors import MetricError
from ..metrics.auroc import auroc_interval
from ..metrics.estimate import Estimate
from ..metrics.ranking import average_precision, fpr_at_tpr
from ..metrics.threshold import confusion_at, normal_quantile_threshold
from .caveats import caveats
from .controls import file_metadata_control, majority_accuracy, media_free_control, random_control
from .results import (
    SMALLEST_GROUP,
    TOO_SMALL_NOTE,
    Assessment,
    ClassResult,
    Controls,
    SessionDisjoint,
    ThresholdResult,
)
from .scores import Attributes, ScoreTable


def assess(
    *,
    test: ScoreTable,
    validation: ScoreTable,
    train_attributes: Attributes,
    files: Attributes,
    train_files: Attributes,
    train_sessions: Collection[str],
    target_fpr: float,
    seed: int,
) -> Assessment:
    """Judge the scores of `test`.

    Args:
        test: the samples to report on, of both labels.
        validation: gives the threshold, by its normals alone; it may hold no defects.
        train_attributes: the attributes of the samples that the model trained on, one value a sample.
        files: what is known of the files of the samples of `test`.
        train_files: the same of those that the model trained on.
        train_sessions: the recording sessions of those samples.
        target_fpr: false-alarm rate that the threshold aims at, in [0, 1).
        seed: of the random control.

    Raises:
        MetricError: `test` has one label only, or `validation` has no normals.
    """
    _require_both_labels(test)
    assessment = Assessment(
        auroc=auroc_interval(test.scores, test.labels),
        raw_auroc=auroc_interval(test.raw_scores, test.labels),
        ap=average_precision(test.scores, test.labels),
        fpr_at_95_tpr=fpr_at_tpr(test.scores, test.labels, tpr=0.95),
        num_normal=int(np.count_nonzero(test.labels == 0)),
        num_defect=int(np.count_nonzero(test.labels == 1)),
        per_class=_per_class(test),
        threshold=_threshold(test, validation=validation, target_fpr=target_fpr),
        controls=Controls(
            random=random_control(test, generator=np.random.default_rng(seed)),
            media_free=media_free_control(test, train_attributes=train_attributes),
            file_metadata=file_metadata_control(test, files=files, train_files=train_files),
            chance_ap=float(np.mean(test.labels)),
            majority_accuracy=majority_accuracy(test.labels),
        ),
        session_disjoint=_session_disjoint(test, seen={*train_sessions, *validation.sessions}),
        validation_auroc=_auroc_if_defined(validation),
        warnings=(),
    )
    return replace(assessment, warnings=caveats(assessment, validation=validation, test=test))


def _require_both_labels(test: ScoreTable) -> None:
    if len(set(test.labels.tolist())) < 2:
        held = "no samples" if not len(test) else f"only {'defects' if test.labels[0] else 'normals'}"
        splits = " and ".join(sorted(set(test.splits))) or "to evaluate"
        raise MetricError(
            f"The split {splits} holds {held}: AUROC compares defects with normals, so it needs both. "
            "Choose another split, or mend the labels of the data set."
        )


def _auroc_if_defined(table: ScoreTable) -> Estimate | None:
    return auroc_interval(table.scores, table.labels) if len(set(table.labels.tolist())) == 2 else None


def _per_class(test: ScoreTable) -> Mapping[str, ClassResult]:
    names = np.array(test.class_names)
    normal, defect = test.labels == 0, test.labels == 1
    results = {}
    for name in sorted(set(names[defect].tolist())):
        of_class = defect & (names == name)
        num, among = int(np.count_nonzero(of_class)), normal | of_class
        note = TOO_SMALL_NOTE if num < SMALLEST_GROUP else None
        results[name] = ClassResult(auroc_interval(test.scores[among], test.labels[among]), num=num, note=note)
    return results


def _threshold(test: ScoreTable, *, validation: ScoreTable, target_fpr: float) -> ThresholdResult:
    normal_scores = validation.scores[validation.labels == 0]
    value = normal_quantile_threshold(normal_scores, target_fpr=target_fpr)
    return ThresholdResult(
        value=value,
        target_fpr=target_fpr,
        num_normal=normal_scores.size,
        num_normal_above=int(np.count_nonzero(normal_scores > value)),
        confusion=confusion_at(value, scores=test.scores, labels=test.labels),
    )


def _session_disjoint(test: ScoreTable, *, seen: Collection[str]) -> SessionDisjoint:
    # An unknown session may be any session, so it counts as seen.
    alone = test.select(np.array([session != "" and session not in seen for session in test.sessions], dtype=bool))
    num_normal, num_defect = (int(np.count_nonzero(alone.labels == label)) for label in (0, 1))
    note = None
    if not any(test.sessions):
        note = "no sessions are recorded"
    elif min(num_normal, num_defect) == 0:
        note = f"{num_normal} normal and {num_defect} defect samples come from sessions of their own"
    elif min(num_normal, num_defect) < SMALLEST_GROUP:
        note = TOO_SMALL_NOTE
    elif len(alone) == len(test):
        note = "whole split"
    return SessionDisjoint(auroc=_auroc_if_defined(alone), num_normal=num_normal, num_defect=num_defect, note=note)
