"""The report's files: all there, whole, and replaced by the next report."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.evaluate.provenance import Provenance
from weldcache.evaluate.report.writer import write_report
from weldcache.evaluate.results import Assessment
from weldcache.evaluate.scores import ScoreTable


def test_writes_three_files_and_nothing_else(
    tmp_path: Path,
    table: ScoreTable,
    make_table: Callable[..., ScoreTable],
    make_assessment: Callable[..., Assessment],
    provenance: Provenance,
) -> None:
    folder = tmp_path / "runs" / "demo"
    for scored in (make_table(seed=9), table):
        assessment = make_assessment(scored)
        path = write_report(folder, assessment=assessment, test=scored, provenance=provenance, training_curve=[])
    assert path == folder / "report.html"
    assert sorted(file.name for file in folder.iterdir()) == ["report.html", "report.json", "scores_test.csv"]
    document = json.loads((folder / "report.json").read_text())
    assert document["auroc"]["value"] == assessment.auroc.value
    assert f"{assessment.auroc.value:.3f}" in path.read_text()


def test_settings_that_json_cannot_hold_leave_no_report_json(
    tmp_path: Path, table: ScoreTable, make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    broken = Provenance(**{**vars(provenance), "settings": {"loss": {"weight": float("nan")}}})
    with pytest.raises(ValueError, match="JSON"):
        write_report(tmp_path, assessment=make_assessment(table), test=table, provenance=broken, training_curve=[])
    assert not (tmp_path / "report.json").exists()
