"""report.json: the schema that other programs read, and never a NaN; and the files of a report in a run."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from weldcache.evaluate.judge import Judgement
from weldcache.evaluate.report.document import report_document, write_report
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Provenance, Report
from weldcache.evaluate.tasks.anomaly.figures import Assessment
from weldcache.evaluate.tasks.anomaly.judge import score_columns
from weldcache.metrics.clustered import grouped_share
from weldcache.metrics.estimate import Estimate
from weldcache.train.runs.folder import RunFolder

MakeTable = Callable[..., ScoreTable]
MakeAssessment = Callable[..., Assessment]
MakeReport = Callable[..., Report]


def _document(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(report_document(report), allow_nan=False))
    return found


def _interval(estimate: Estimate | None) -> dict[str, Any]:
    assert estimate is not None
    return dict(vars(estimate))


def test_every_figure_has_a_name_and_all_its_digits(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    assessment = make_assessment(table)
    document = _document(make_report(assessment, table))
    sections = document["sections"]
    headline, threshold, further = (sections[name]["facts"] for name in ("headline", "threshold", "further"))
    assert headline["auroc"] == _interval(assessment.auroc)
    assert (headline["num_normal"], headline["num_defect"]) == (60, 90)
    assert headline["random_control"] == _interval(assessment.controls.random)
    assert headline["media_free_control"] == _interval(assessment.controls.rivals["media_free_control"].auroc)
    assert (further["ap"], further["raw_auroc"]) == (assessment.ap, _interval(assessment.raw_auroc))
    assert further["chance_ap"] == pytest.approx(0.6)
    spatter = next(row for row in sections["by_class"]["rows"]["by_class"] if row["class"] == "spatter")
    spatters = table.select(np.array(table.class_names) == "spatter")
    found = grouped_share(spatters.scores > assessment.threshold.value, groups=spatters.groups)
    assert spatter == {
        "class": "spatter",
        "num": 30,
        "found": _interval(found),
        "auroc": _interval(assessment.per_class["spatter"].auroc),
        "ap": assessment.per_class["spatter"].ap,
        "fpr_at_95_tpr": assessment.per_class["spatter"].fpr_at_95_tpr,
        "note": None,
    }
    among = (table.labels == 0) | (np.array(table.class_names) == "spatter")
    part = table.select(among)
    assert spatter["ap"] == pytest.approx(average_precision_score(part.labels, part.scores))
    macro = np.mean([each.auroc.value for each in assessment.per_class.values()])
    assert sections["by_class"]["facts"]["macro_auroc"] == pytest.approx(macro)
    assert (threshold["threshold"], threshold["target_fpr"]) == (assessment.threshold.value, 0.05)
    assert threshold["achieved_fpr"]["value"] == assessment.confusion.false_alarms / 60
    assert threshold["validation_fpr"] == 0.05
    assert sections["verdict"]["standing"] == "good" and "points" not in sections["verdict"]


def test_names_of_figures_are_of_one_section_each(
    table: ScoreTable, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    report = make_report(rich_assessment, table)
    names = [fact.id for section in report.sections for fact in section.facts]
    assert len(set(names)) == len(names)
    assert len({section.id for section in report.sections}) == len(report.sections)


def test_what_was_evaluated_by_what(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    document = _document(make_report(make_assessment(table), table))
    assert (document["schema_version"], document["task"], document["weights"]) == (2, "anomaly", "ema")
    assert document["backbones_are_random"] is True
    provenance = document["provenance"]
    assert (provenance["fingerprint"], provenance["seed"]) == ("b3a9c1d2e4f5", 0)
    assert provenance["settings"]["optimizer"]["lr"] == 2e-5
    assert provenance["versions"] == {"weldcache": "0.1.0", "numpy": "2.4.0"}
    assert provenance["command"].startswith("weldcache eval")


def test_modalities_and_representations(
    table: ScoreTable,
    rich_assessment: Assessment,
    make_report: MakeReport,
    training_curve: list[dict[str, float | int | None]],
) -> None:
    sections = _document(make_report(rich_assessment, table, curve=training_curve))["sections"]
    video, _ = sections["without_modality"]["rows"]["by_modality"]
    assert video == {
        "modality": "video",
        "auroc": {"value": 0.7, "low": 0.61, "high": 0.78},
        "change": {"value": -0.151, "low": -0.22, "high": -0.08, "method": "delong"},
        "num_normal_having": 59,
        "num_defect_having": 88,
        "num_lacking": 3,
        "num_rescaled": 2,
        "seen_missing": False,
    }
    headline = sections["headline"]["facts"]
    assert headline["whole_samples"] == {"value": 0.83, "low": 0.75, "high": 0.9}
    assert (headline["whole_samples_num_normal"], headline["whole_samples_num_defect"]) == (58, 89)
    assert (headline["num_own_scale"], headline["num_scale_normals"]) == (0, 12)
    assert sections["further"]["facts"]["recorded_validation_auroc"] == 0.8125
    spreads = sections["training"]["rows"]["representations"]
    assert {
        "representation": "z_pred",
        "epoch": 9,
        "effective_rank": 20.0,
        "std": 0.07,
        "std_min": 0.0,
        "std_max": 0.14,
    } in spreads
    assert [each["epoch"] for each in spreads if each["representation"] == "z_result"] == [1, 9, 11]


def test_what_is_undefined_is_null_with_a_reason(
    table: ScoreTable, make_table: MakeTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    bare = replace(table, attributes={}, groups=("",) * len(table))
    assessment = make_assessment(bare, validation=make_table(split="val", num_defect=0))
    sections = _document(make_report(assessment, bare))["sections"]
    headline = sections["headline"]
    assert headline["facts"]["media_free_control"] is None and headline["facts"]["group_disjoint"] is None
    assert headline["fact_notes"]["media_free_control"] == "the data set records no attributes beside the media"
    assert headline["fact_notes"]["group_disjoint"].endswith("no groups are recorded")
    assert sections["further"]["facts"]["validation_auroc"] is None
    assert "without_modality" not in sections and "rows" not in sections["training"]


@pytest.fixture
def run(tmp_path: Path, run_manifest: Callable[..., dict[str, object]]) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "demo")
    run.create(config="", manifest=run_manifest())
    return run


@pytest.fixture
def write(run: RunFolder, make_assessment: MakeAssessment, make_report: MakeReport) -> Callable[..., Path]:
    """Write the report on a table into the run."""

    def written(test: ScoreTable, **options: Any) -> Path:
        assessment = make_assessment(test)
        report, threshold = make_report(assessment, test, curve=[], **options), assessment.threshold.value
        return write_report(
            run,
            Judgement(report.sections, (), test, score_columns(test, threshold=threshold), test.labels, test.scores),
            report,
        )

    return written


def test_writes_three_files_and_nothing_else(
    run: RunFolder, write: Callable[..., Path], table: ScoreTable, make_table: MakeTable
) -> None:
    before = {file.name for file in run.path.iterdir()}
    for left in (".report.0123abcd.tmp.html", ".scores_test.0123abcd.tmp.csv"):
        (run.path / left).write_text("of an evaluation that was killed")
    for scored in (make_table(seed=9), table):
        path = write(scored)
    assert path == run.path / "report.html"
    written = {file.name for file in run.path.iterdir()} - before
    assert written == {"report.html", "report.json", "scores_test.csv"}
    value = json.loads((run.path / "report.json").read_text())["sections"]["headline"]["facts"]["auroc"]["value"]
    assert f"{value:.3f}" in path.read_text()


@pytest.mark.usefixtures("undrawn")
def test_names_act_on_no_terminal_that_shows_the_files(
    run: RunFolder, write: Callable[..., Path], table: ScoreTable
) -> None:
    names = tuple(f"\x1b]0;{name}\x07\u202e<i>[/]$x$" for name in table.class_names)
    write(replace(table, class_names=names, keys=tuple(f"\x1b[31m{key}" for key in table.keys)))
    for path in run.path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not {"\x1b", "\x07", "\u202e"} & set(text), path.name
    page = (run.path / "report.html").read_text()
    assert "<i>" not in page and r"\x1b]0;" in page
    for picture in re.findall("base64,([A-Za-z0-9+/=]+)", page):
        ElementTree.fromstring(base64.b64decode(picture))


@pytest.mark.usefixtures("undrawn")
def test_settings_that_json_cannot_hold_leave_no_report_json(
    run: RunFolder, write: Callable[..., Path], table: ScoreTable, provenance: Provenance
) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write(table, provenance=replace(provenance, settings={"loss": {"weight": float("nan")}}))
    assert not (run.path / "report.json").exists()
