"""report.json: the numbers of a report for other programs."""

from dataclasses import asdict

from ...metrics.estimate import Estimate
from ...metrics.threshold import exceedance_rate
from ..results import (
    Assessment,
    ClassResult,
    Controls,
    ModalityResult,
    Provenance,
    SessionDisjoint,
    ThresholdResult,
    WholeSamples,
)
from .verdict import verdict

SCHEMA_VERSION = 1


def report_document(assessment: Assessment, *, provenance: Provenance) -> dict[str, object]:
    """The report as JSON values. What is undefined is null with a reason or note beside it, never NaN."""
    judged = verdict(assessment)
    return {
        "schema_version": SCHEMA_VERSION,
        "run": provenance.run_name,
        "split": provenance.split,
        "weights": "ema",
        "confidence": 0.95,
        "backbones_are_random": provenance.backbones_are_random,
        "verdict": {"standing": judged.standing.value, "headline": judged.headline, "explanation": judged.explanation},
        "warnings": list(assessment.warnings),
        "auroc": _estimate(assessment.auroc, name="value"),
        "raw_auroc": assessment.raw_auroc.value,
        "raw_auroc_interval": {"low": assessment.raw_auroc.low, "high": assessment.raw_auroc.high},
        "validation_auroc": _estimate(assessment.validation_auroc, name="value")
        | {"recorded": assessment.recorded_validation_auroc},
        "ap": assessment.ap,
        "fpr_at_95_tpr": assessment.fpr_at_95_tpr,
        "num_normal": assessment.num_normal,
        "num_defect": assessment.num_defect,
        "per_class": {name: _class_result(result) for name, result in assessment.per_class.items()},
        "threshold": _threshold(assessment.threshold),
        "controls": _controls(assessment.controls),
        "session_disjoint": _session_disjoint(assessment.session_disjoint),
        "whole_samples": None if assessment.whole is None else _whole_samples(assessment.whole),
        "without_modality": {name: _modality(result) for name, result in assessment.modalities.items()},
        "representations": {name: asdict(found) for name, found in assessment.representations.items()},
        "provenance": {
            "fingerprint": provenance.fingerprint,
            "settings": dict(provenance.settings),
            "versions": dict(provenance.versions),
            "seed": provenance.seed,
            "command": provenance.command,
            "created": provenance.created,
        },
    }


def _estimate(estimate: Estimate | None, *, name: str = "auroc") -> dict[str, object]:
    if estimate is None:
        return {name: None, "low": None, "high": None}
    return {name: estimate.value, "low": estimate.low, "high": estimate.high}


def _class_result(result: ClassResult) -> dict[str, object]:
    return _estimate(result.auroc) | {"num": result.num, "note": result.note}


def _threshold(threshold: ThresholdResult) -> dict[str, object]:
    confusion = threshold.confusion
    expected = exceedance_rate(threshold.num_normal_above, num_reference=threshold.num_normal)
    return {
        "value": threshold.value,
        "target_fpr": threshold.target_fpr,
        "num_validation_normal": threshold.num_normal,
        "validation_fpr": threshold.num_normal_above / threshold.num_normal,
        "expected_fpr_low": expected.low,
        "expected_fpr_high": expected.high,
        "achieved_fpr": confusion.fpr.value,
        "achieved_fpr_low": confusion.fpr.low,
        "achieved_fpr_high": confusion.fpr.high,
        "recall": confusion.recall.value,
        "recall_low": confusion.recall.low,
        "recall_high": confusion.recall.high,
        "balanced_accuracy": confusion.balanced_accuracy,
        "f1": confusion.f1,
        "detected": confusion.detected,
        "missed": confusion.missed,
        "false_alarms": confusion.false_alarms,
        "passed": confusion.passed,
    }


def _controls(controls: Controls) -> dict[str, object]:
    return {
        "random": _estimate(controls.random),
        "media_free": _estimate(controls.media_free.auroc) | {"reason": controls.media_free.reason},
        "file_metadata": _estimate(controls.file_metadata.auroc) | {"reason": controls.file_metadata.reason},
        "chance_ap": controls.chance_ap,
        "majority_accuracy": controls.majority_accuracy,
    }


def _session_disjoint(disjoint: SessionDisjoint) -> dict[str, object]:
    counts = {"num_normal": disjoint.num_normal, "num_defect": disjoint.num_defect}
    return _estimate(disjoint.auroc) | counts | {"note": disjoint.note}


def _whole_samples(whole: WholeSamples) -> dict[str, object]:
    counts = {"num_normal": whole.num_normal, "num_defect": whole.num_defect, "num_own_scale": whole.num_own_scale}
    return _estimate(whole.auroc) | counts | {"num_scale_normals": whole.num_scale_normals}


def _modality(result: ModalityResult) -> dict[str, object]:
    method = None if result.change is None else result.change.method
    num_normal, num_defect = result.num_having
    return _estimate(result.auroc) | {
        "change": _estimate(result.change, name="value") | {"method": method},
        "num_normal_having": num_normal,
        "num_defect_having": num_defect,
        "num_lacking": result.num_lacking,
        "num_rescaled": result.num_rescaled,
        "seen_missing": result.seen_missing,
    }
