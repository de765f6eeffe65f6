"""The judge of detectors that score points: how well the points of a sample are told apart, and over all samples."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ....metrics.streamed import together
from ....train.runs.reports import Headline
from ....train.runs.trained_run import TrainedRun
from ...judge import Background, Calibration, Judgement, Told
from ...scores import sample_columns
from ...scoring import Scored
from ...trials.measure import Measure
from ..alike import warnings_and_training
from .figures import (
    ControlAnswers,
    LabelledPoints,
    PlaceControl,
    PointArrays,
    SplitCounts,
    assess_points,
    auroc_of_sample,
    count_points,
)
from .measure import NO_AUROC, PointsMeasure
from .sections import caveats, point_sections

_OUTPUT = "point_scores"


class PointsCalibration(Calibration):
    """What scores of points are read by.

    Attributes:
        threshold: points that score this or more are called defective; None where no threshold keeps to the target.
        target_fpr: share of the normal points that it aims at.
        num_points: on how many points of validation it rests.
        num_defective: how many of them are.
    """

    threshold: float | None
    target_fpr: float
    num_points: int
    num_defective: int


_HEADLINE = (
    Headline("sample_auroc", "AUROC of points"),
    Headline("macro_auroc", "AUROC over groups", told_in=("page", "comparison")),
    Headline("micro_auroc", "AUROC of all points", told_in=("page", "comparison")),
    Headline("num_samples", "samples", told_in=("page",)),
)


@dataclass(frozen=True)
class PointsJudge:
    """Judges by AUROC, from the output `point_scores`, (row, point), against the labels that the store keeps."""

    task: str = "points"
    headline: Sequence[Headline] = _HEADLINE
    measure: Measure = field(default_factory=PointsMeasure)
    kept_as: type[PointsCalibration] = PointsCalibration
    outputs: tuple[str, ...] = (_OUTPUT,)
    of_scores: bool = False

    def calibrate(self, background: Background) -> PointsCalibration:
        found = _counted(background.validation, background)
        counts, target_fpr = together(found.by_group.values()), background.settings.target_fpr
        threshold = counts.threshold(target_fpr) if counts.num_negatives else np.inf
        return PointsCalibration(
            task=self.task,
            rests_on=background.rests_on,
            threshold=float(threshold) if np.isfinite(threshold) else None,
            target_fpr=target_fpr,
            num_points=counts.num_negatives + counts.num_positives,
            num_defective=counts.num_positives,
        )

    def assess(self, test: Scored, calibration: PointsCalibration, *, background: Background) -> Judgement:
        counted, groups = _counted(test, background), test.table.groups
        found = assess_points(
            counted,
            groups=groups,
            target_fpr=calibration["target_fpr"],
            threshold=calibration["threshold"],
            controls=_controls(test, background),
        )
        warnings, training = warnings_and_training(test, background, caveats(found), headline=self.headline)
        table = test.table
        return Judgement(
            sections=point_sections(found, warnings=warnings, training=training),
            warnings=warnings,
            table=table,
            columns={
                **sample_columns(table),
                "label": table.labels.tolist(),
                "score": table.scores.tolist(),
                "num_points": counted.num_points.tolist(),
                "num_defective": counted.num_defective.tolist(),
                "sample_auroc": ["" if np.isnan(each) else each for each in counted.sample_auroc.tolist()],
            },
            truth=table.labels,
            # Finite, since answers of several trainings are compared; the measure leaves these out.
            answers=np.nan_to_num(counted.sample_auroc, nan=NO_AUROC),
        )

    def tell(self, scored: Scored, calibration: PointsCalibration | None, *, run: TrainedRun) -> Told:
        scores, threshold = scored.outputs[_OUTPUT], None if calibration is None else calibration["threshold"]
        above = [None] * len(scores) if threshold is None else (scores >= threshold).sum(axis=1).tolist()
        return Told(
            columns={
                "score": scored.table.scores.tolist(),
                "threshold": [threshold] * len(scores),
                "num_points": np.isfinite(scores).sum(axis=1).tolist(),
                "points_above": above,
            },
            alarms=[False] * len(scores),
        )


def _counted(scored: Scored, background: Background) -> SplitCounts:
    store = background.store
    arrays = PointArrays.of(store, background.run.recipe)
    rows = scored.rows.usable
    labelled = (labels for _, labels in arrays.read(store, rows))
    return count_points(_real(scored.outputs[_OUTPUT]), labelled, groups=scored.table.groups)


def _real(scores: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """The scores of each sample's real points, which come before the padding."""
    for each in scores:
        yield each[: int(np.isfinite(each).sum())]


def _controls(test: Scored, background: Background) -> Sequence[ControlAnswers]:
    """Where a point lies, learned from the labels that the model learned from.

    Where those are of whole samples, a second one is told the labels of points, which makes an oracle of it.
    """
    store, recipe, train = background.store, background.run.recipe, background.seen.train
    arrays = PointArrays.of(store, recipe)

    def points_labelled() -> LabelledPoints:
        return arrays.read(store, train)

    def samples_labelled() -> LabelledPoints:
        for (points, labels), label in zip(points_labelled(), store.index.labels[train], strict=True):
            yield points, np.full_like(labels, label)

    def answers(name: str, training: Callable[[], LabelledPoints], *, oracle: bool = False) -> ControlAnswers:
        place = PlaceControl(training)
        found = [auroc_of_sample(place(points), labels) for points, labels in arrays.read(store, test.rows.usable)]
        return ControlAnswers(name, "where a point lies", np.array(found), oracle)

    if arrays.labels in recipe.needs().targets:
        return [answers("place control", points_labelled)]
    told = answers("place control told labels of points", points_labelled, oracle=True)
    return [answers("place control", samples_labelled), told]
