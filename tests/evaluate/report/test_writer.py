"""The report's files: all there, whole, and replaced by the next report."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from weldcache.evaluate.report.writer import write_report
from weldcache.evaluate.results import Assessment, Provenance
from weldcache.evaluate.scores import ScoreTable
from weldcache.train.runs.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path, run_manifest: Callable[..., dict[str, object]]) -> RunFolder:
    run = RunFolder(tmp_path / "runs" / "demo")
    run.create(config="", manifest=run_manifest())
    return run


def test_writes_three_files_and_nothing_else(
    run: RunFolder,
    table: ScoreTable,
    make_table: Callable[..., ScoreTable],
    make_assessment: Callable[..., Assessment],
    provenance: Provenance,
) -> None:
    before = {file.name for file in run.path.iterdir()}
    for left in (".report.0123abcd.tmp.html", ".scores_test.0123abcd.tmp.csv"):
        (run.path / left).write_text("of an evaluation that was killed")
    for scored in (make_table(seed=9), table):
        assessment = make_assessment(scored)
        path = write_report(run, assessment=assessment, test=scored, provenance=provenance, training_curve=[])
    assert path == run.path / "report.html"
    written = {file.name for file in run.path.iterdir()} - before
    assert written == {"report.html", "report.json", "scores_test.csv"}
    document = json.loads((run.path / "report.json").read_text())
    assert document["auroc"]["value"] == assessment.auroc.value
    assert f"{assessment.auroc.value:.3f}" in path.read_text()


def test_names_act_on_no_terminal_that_shows_the_files(
    run: RunFolder, table: ScoreTable, make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    names = tuple(f"\x1b]0;{name}\x07\u202e<i>[/]$x$" for name in table.class_names)
    hostile = replace(table, class_names=names, keys=tuple(f"\x1b[31m{key}" for key in table.keys))
    write_report(run, assessment=make_assessment(hostile), test=hostile, provenance=provenance, training_curve=[])
    for path in run.path.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not {"\x1b", "\x07", "\u202e"} & set(text), path.name
    page = (run.path / "report.html").read_text()
    assert "<i>" not in page and r"\x1b]0;" in page
    for picture in re.findall("base64,([A-Za-z0-9+/=]+)", page):
        ElementTree.fromstring(base64.b64decode(picture))


def test_settings_that_json_cannot_hold_leave_no_report_json(
    run: RunFolder, table: ScoreTable, make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    broken = Provenance(**{**vars(provenance), "settings": {"loss": {"weight": float("nan")}}})
    with pytest.raises(ValueError, match="JSON"):
        write_report(run, assessment=make_assessment(table), test=table, provenance=broken, training_curve=[])
    assert not (run.path / "report.json").exists()
