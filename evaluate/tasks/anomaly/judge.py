"""The judge of anomaly detectors: defects against normals, beside what can be had without a model."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NotRequired

import numpy as np
from typing_extensions import TypedDict

from ....train.data.features import Rows
from ....train.recipes.published import references_of
from ....train.runs.documents import Count, Line
from ....train.runs.reports import Headline
from ....train.runs.trained_run import TrainedRun, Weights
from ...judge import Background, Calibration, Judgement, Told
from ...scores import ScoreTable, sample_columns
from ...scoring import Scored, Way
from ...trials.measure import Measure
from ..alike import warnings_and_training
from ..probabilities import ProbabilitiesKept, probabilities_of, sample_probabilities, section_of_scores
from .caveats import caveats, reproduction_caveats
from .controls.control import Controls
from .controls.gather import gather_controls
from .defects import target_results
from .figures import Assessment, assess, require_both_labels
from .measure import AnomalyMeasure
from .members import member_columns, member_results
from .modalities import change_caveats, contributions, lacking_caveats, modalities_seen_missing, modality_results
from .scale import Placed, Scale, Scales, place, scale_caveats, scale_of, whole_samples
from .sections import sections
from .thresholds import (
    AlarmThreshold,
    BankedNormal,
    ThresholdKept,
    alarm_thresholds,
    alarms,
    bank_columns,
    bank_of,
    bank_p_values,
)


class ScaleOfWay(TypedDict):
    """Where the whole validation normals lie in one way of scoring; mean and deviation are None where that is not
    known."""

    weights: Weights
    without: list[Line]
    mean: float | None
    deviation: float | None


class AnomalyCalibration(Calibration):
    """What scores are read by: a threshold, and the scale of samples that lack nothing.

    Attributes:
        threshold: scores strictly above raise an alarm.
        target_fpr: the false-alarm rate that it aims at.
        num_normal: on how many validation normals it rests.
        num_normal_above: how many of them score above it.
        scales: see `scale`; empty where no sample of the store lacks anything.
        num_scale_normals: on how many whole validation normals these rest.
        thresholds: for several targets, with what each promises; that of the settings is among them.
        bank: the scores of the whole validation normals, lowest first, for p-values of new samples.
        probabilities: how scores become probabilities of a defect; None where validation does not hold both kinds.
            Former versions did not tell.
    """

    threshold: float
    target_fpr: float
    num_normal: Count
    num_normal_above: Count
    scales: list[ScaleOfWay]
    num_scale_normals: Count
    thresholds: list[ThresholdKept]
    bank: list[BankedNormal]
    probabilities: NotRequired[ProbabilitiesKept | None]


_HEADLINE = (
    Headline("auroc", "AUROC"),
    Headline("ap", "AP", told_in=("page", "comparison")),
    Headline("fpr_at_95_tpr", "FPR at 95% TPR", told_in=("comparison",)),
    Headline("num_normal", "normals", told_in=("page",)),
    Headline("num_defect", "defects", told_in=("page",)),
)


@dataclass(frozen=True)
class AnomalyJudge:
    """Judges by AUROC, with a threshold that saw normals of validation alone."""

    task: str = "anomaly"
    headline: Sequence[Headline] = _HEADLINE
    measure: Measure = field(default_factory=AnomalyMeasure)
    kept_as: type[AnomalyCalibration] = AnomalyCalibration
    outputs: tuple[str, ...] = ()
    of_scores: bool = True

    def calibrate(self, background: Background) -> AnomalyCalibration:
        validation, target_fpr = background.validation, background.settings.target_fpr
        scales = {way: scale_of(scores) for way, scores in validation.normals.items()}
        num_scale_normals = max(map(len, validation.normals.values()), default=0)
        placed = place(validation, scales=scales, num_scale_normals=num_scale_normals)
        thresholds = alarm_thresholds(placed.table, target_fpr=target_fpr)
        threshold = next(each for each in thresholds if each.target_fpr == target_fpr)
        return AnomalyCalibration(
            task=self.task,
            rests_on=background.rests_on,
            threshold=threshold.value,
            target_fpr=target_fpr,
            num_normal=threshold.num_normal,
            num_normal_above=threshold.num_normal_above,
            scales=[_as_document(way, scale) for way, scale in scales.items()],
            num_scale_normals=num_scale_normals,
            thresholds=[each.kept() for each in thresholds],
            bank=bank_of(placed.table),
            probabilities=probabilities_of(_comparable(placed.table)),
        )

    def assess(self, test: Scored, calibration: AnomalyCalibration, *, background: Background) -> Judgement:
        placed, validation = (placed_by(calibration, scored) for scored in (test, background.validation))
        controls = self.controls(placed.table, test.rows.usable, background=background)
        assessment = _figures(placed, validation, calibration, controls, background)
        seen_missing = modalities_seen_missing(background.run)
        reproduced = reproduction_caveats(
            background.validation.table,
            recorded=assessment.recorded_validation_auroc,
            recorded_keys=background.run.manifest["samples"]["validation"],
            precision=background.run.precision,
        )
        own = (
            *scale_caveats(placed, validation=validation, auroc=assessment.auroc, whole=assessment.whole),
            *caveats(assessment, validation=validation.table, test=placed.table),
            *background.run.manifest.get("caveats", ()),
            *lacking_caveats(placed, seen_missing=seen_missing),
            *change_caveats(assessment.modalities),
        )
        warnings, training = warnings_and_training(
            test, background, own, headline=self.headline, of_validation=reproduced
        )
        p_values = bank_p_values(placed.table, calibration["bank"])
        # A calibration of a former version does not tell these, and rests on this same validation.
        probabilities = (
            calibration["probabilities"]
            if "probabilities" in calibration
            else probabilities_of(_comparable(validation.table))
        )
        return Judgement(
            sections=sections(
                assessment,
                test=placed.table,
                warnings=warnings,
                training=training,
                p_values=p_values,
                probabilities=[section_of_scores(_comparable(placed.table), probabilities)],
            ),
            warnings=warnings,
            table=placed.table,
            columns={
                **score_columns(placed.table, threshold=calibration["threshold"], bank=calibration["bank"]),
                "probability": _cells(sample_probabilities(placed.table, probabilities)),
                **{name: _cells(values) for name, values in member_columns(test, background.run).items()},
            },
            truth=placed.table.labels,
            answers=placed.table.scores,
        )

    def controls(self, table: ScoreTable, rows: Rows, *, background: Background) -> Controls:
        """What can be had of the samples of `table` without the model, which are the `rows` of the store.

        Raises:
            MetricError: if they are of one label.
        """
        require_both_labels(table)
        return gather_controls(table, rows, background=background)

    def tell(self, scored: Scored, calibration: AnomalyCalibration | None, *, run: TrainedRun) -> Told:
        scales = {} if calibration is None else _scales_of(calibration)
        placed = place(scored, scales=scales, num_scale_normals=0)
        threshold = None if calibration is None else calibration["threshold"]
        p_values = bank_p_values(placed.table, [] if calibration is None else calibration["bank"])
        found = [None] * len(placed.table) if threshold is None else alarms(placed.table, threshold=threshold)
        return Told(
            columns={
                "score": placed.table.scores.tolist(),
                "threshold": [threshold] * len(found),
                "alarm": [None if alarm is None else int(alarm) for alarm in found],
                "p_value": [None if np.isnan(value) else value for value in p_values.tolist()],
                "probability": sample_probabilities(
                    placed.table, None if calibration is None else calibration.get("probabilities")
                ),
                "lacks": placed.table.lacks,
                "scale": placed.table.scales,
                **contributions(placed, scales=scales),
                **member_columns(scored, run),
            },
            alarms=[alarm is True for alarm in found],
        )


def placed_by(calibration: AnomalyCalibration, scored: Scored) -> Placed:
    """Scores of a split on the scale that a calibration knows."""
    return place(scored, scales=_scales_of(calibration), num_scale_normals=calibration["num_scale_normals"])


def _cells(values: Sequence[float | None]) -> list[object]:
    """For a table in which what is not known is empty."""
    return ["" if value is None else value for value in values]


def _comparable(table: ScoreTable) -> ScoreTable:
    """The samples whose scores are on the scale of whole ones."""
    return table.select(np.array(table.scales, dtype=np.str_) != "own")


def _scales_of(calibration: AnomalyCalibration) -> Scales:
    return {
        Way(each["weights"], frozenset(each["without"])): None
        if each["mean"] is None or each["deviation"] is None
        else Scale(each["mean"], each["deviation"])
        for each in calibration["scales"]
    }


def _as_document(way: Way, scale: Scale | None) -> ScaleOfWay:
    return ScaleOfWay(
        weights=way.weights,
        without=sorted(way.without),
        mean=None if scale is None else scale.mean,
        deviation=None if scale is None else scale.deviation,
    )


def _figures(
    placed: Placed, validation: Placed, calibration: AnomalyCalibration, controls: Controls, background: Background
) -> Assessment:
    run, store, seen = background.run, background.store, background.seen
    assessment = assess(
        test=placed.table,
        validation=validation.table,
        controls=controls,
        train_groups=store.index.select(seen.train).groups.tolist(),
        threshold=_chosen_threshold(calibration),
        thresholds=[AlarmThreshold.read(each) for each in calibration["thresholds"]],
    )
    return replace(
        assessment,
        recorded_validation_auroc=background.best.metrics.get("val_auroc"),
        by_target=target_results(placed.table, store.index.select(placed.scored.rows.usable).targets),
        modalities=modality_results(placed, seen_missing=modalities_seen_missing(run)),
        members=member_results(placed, run),
        whole=whole_samples(placed),
        references={each.class_name: each for each in references_of(run.recipe) if each.metric == "auroc"},
        validation_is_rescaled=bool(validation.rescaled.any()),
    )


def _chosen_threshold(calibration: AnomalyCalibration) -> AlarmThreshold:
    """The threshold by which alarms are raised, which somebody may have set by hand."""
    kept = next(each for each in calibration["thresholds"] if each["target_fpr"] == calibration["target_fpr"])
    return replace(AlarmThreshold.read(kept), value=calibration["threshold"])


def score_columns(
    table: ScoreTable, *, threshold: float, bank: Sequence[BankedNormal] = ()
) -> dict[str, Sequence[object]]:
    """What is told of each sample: `score` is from the averaged weights and `raw_weights_score` from those before
    averaging, empty where a run has none; `alarm` is 1 where the score is above the threshold, 0 where it is not, and
    empty where the threshold says nothing of it; the p-values are those of `bank_columns`."""
    return {
        **sample_columns(table),
        "label": table.labels.tolist(),
        "score": table.scores.tolist(),
        "raw_weights_score": [""] * len(table) if table.raw_scores is None else table.raw_scores.tolist(),
        "lacks": table.lacks,
        "scale": table.scales,
        "threshold": [threshold] * len(table),
        "alarm": ["" if alarm is None else int(alarm) for alarm in alarms(table, threshold=threshold)],
        **bank_columns(table, bank),
    }
