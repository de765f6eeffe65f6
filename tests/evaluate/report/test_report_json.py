"""report.json: the schema that other programs read, and never a NaN."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from weldcache.evaluate.report.report_json import report_document
from weldcache.evaluate.results import Assessment, Provenance
from weldcache.evaluate.scores import ScoreTable

MakeTable = Callable[..., ScoreTable]
MakeAssessment = Callable[..., Assessment]


def test_schema(table: ScoreTable, make_assessment: MakeAssessment, provenance: Provenance) -> None:
    assessment = make_assessment(table)
    document = json.loads(json.dumps(report_document(assessment, provenance=provenance), allow_nan=False))
    auroc, threshold = assessment.auroc, assessment.threshold
    assert document["auroc"] == {"value": auroc.value, "low": auroc.low, "high": auroc.high}
    assert document["raw_auroc"] == assessment.raw_auroc.value
    assert (document["num_normal"], document["num_defect"], document["ap"]) == (60, 90, assessment.ap)
    spatter = assessment.per_class["spatter"]
    assert document["per_class"]["spatter"] == {
        "auroc": spatter.auroc.value,
        "low": spatter.auroc.low,
        "high": spatter.auroc.high,
        "num": 30,
        "note": None,
    }
    assert document["threshold"]["value"] == threshold.value
    assert document["threshold"]["target_fpr"] == 0.05
    assert document["threshold"]["achieved_fpr"] == threshold.confusion.false_alarms / 60
    assert document["threshold"]["validation_fpr"] == 0.05
    assert document["controls"]["random"]["auroc"] == assessment.controls.random.value
    assert assessment.controls.media_free.auroc is not None
    assert document["controls"]["media_free"]["auroc"] == assessment.controls.media_free.auroc.value
    assert document["controls"]["media_free"]["reason"] is None
    assert document["controls"]["chance_ap"] == pytest.approx(0.6)
    assert document["weights"] == "ema"
    assert document["backbones_are_random"] is True
    assert document["warnings"] == []
    assert document["provenance"]["fingerprint"] == "b3a9c1d2e4f5"
    assert document["provenance"]["settings"]["optimizer"]["lr"] == 2e-5
    assert document["provenance"]["versions"] == {"weldcache": "0.1.0", "numpy": "2.4.0"}
    assert document["provenance"]["seed"] == 0
    assert document["provenance"]["command"].startswith("weldcache eval")


def test_modalities_and_representations(
    table: ScoreTable, make_assessment: MakeAssessment, rich_assessment: Assessment, provenance: Provenance
) -> None:
    document = json.loads(json.dumps(report_document(rich_assessment, provenance=provenance), allow_nan=False))
    assert document["without_modality"]["video"] == {
        "auroc": 0.7,
        "low": 0.61,
        "high": 0.78,
        "change": {"value": -0.151, "low": -0.22, "high": -0.08, "method": "delong"},
        "num_normal_having": 59,
        "num_defect_having": 88,
        "num_lacking": 3,
        "num_rescaled": 2,
        "seen_missing": False,
    }
    assert document["whole_samples"] == {
        "auroc": 0.83,
        "low": 0.75,
        "high": 0.9,
        "num_normal": 58,
        "num_defect": 89,
        "num_own_scale": 0,
        "num_scale_normals": 12,
    }
    assert document["validation_auroc"]["recorded"] == 0.8125
    assert document["representations"]["z_pred"]["best"] == {
        "epoch": 9,
        "effective_rank": 20.0,
        "std": 0.07,
        "std_min": 0.0,
        "std_max": 0.14,
    }
    assert [document["representations"]["z_result"][when]["epoch"] for when in ("first", "best", "last")] == [1, 9, 11]
    plain = report_document(make_assessment(table), provenance=provenance)
    assert plain["without_modality"] == plain["representations"] == {}
    assert plain["whole_samples"] is None


def test_what_is_undefined_is_null_with_a_reason(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment, provenance: Provenance
) -> None:
    bare = replace(table, attributes={}, sessions=("",) * len(table))
    assessment = make_assessment(bare, validation=make_table(split="val", num_defect=0))
    document = json.loads(json.dumps(report_document(assessment, provenance=provenance), allow_nan=False))
    assert document["controls"]["media_free"] == {
        "auroc": None,
        "low": None,
        "high": None,
        "reason": "the data set records no attributes beside the media",
    }
    assert document["session_disjoint"]["auroc"] is None
    assert document["session_disjoint"]["note"] == "no sessions are recorded"
    assert document["validation_auroc"] == {"value": None, "low": None, "high": None, "recorded": None}
    assert len(document["warnings"]) == 2
