"""What is known of runs, read from folders in any condition."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from weldcache.atomic import write_json
from weldcache.evaluate.judge import headline_of
from weldcache.metrics.estimate import Estimate
from weldcache.tests.train.runs.report import REPORT
from weldcache.train.runs.catalogue import list_runs, read_entry
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.reports import read_report

MakeRun = Callable[..., RunFolder]


def test_the_newest_is_the_last(make_run: MakeRun, tmp_path: Path) -> None:
    for name, created in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        make_run(tmp_path / name, created=created)
    assert [entry.name for entry in list_runs(tmp_path, nested=False)] == ["c", "b", "a"]


def test_a_line_tells_how_far_how_good_and_how_large(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "a", auroc=0.75, loss=3.0, report=REPORT, features="0123")
    entry = read_entry(run, folder=tmp_path, headlines=headline_of)
    assert (entry.name, entry.recipe, entry.status, entry.epochs) == ("a", "causal_film", "finished", 2)
    assert (entry.best_figure("val_auroc"), entry.best_figure("val_loss")) == (0.75, 3.0)
    assert list(entry.reached("list").values()) == [Estimate(0.7, 0.6, 0.8)]
    assert (entry.seconds, entry.fingerprint, entry.faults) == (3.0, "0123", ())
    assert entry.num_bytes == sum(path.stat().st_size for path in run.path.iterdir()) > 4000
    assert json.loads(json.dumps(entry.as_json()))["test_auroc"] == {"value": 0.7, "low": 0.6, "high": 0.8}


@pytest.mark.parametrize(
    ("stopped", "status"), [("epochs", "finished"), ("patience", "stopped early"), (None, "unfinished")]
)
def test_how_a_run_ended(make_run: MakeRun, tmp_path: Path, stopped: str | None, status: str) -> None:
    assert read_entry(make_run(tmp_path / "a", stopped=stopped), folder=tmp_path).status == status


@pytest.mark.parametrize(
    ("stopped", "status"), [("epochs", "weights deleted"), ("patience", "weights deleted"), (None, "unfinished")]
)
def test_a_run_whose_weights_are_gone(make_run: MakeRun, tmp_path: Path, stopped: str | None, status: str) -> None:
    run = make_run(tmp_path / "a", stopped=stopped)
    run.best_path.unlink()
    run.last_path.unlink()
    entry = read_entry(run, folder=tmp_path)
    assert (entry.status, entry.epochs, entry.best_figure("val_auroc")) == (status, 2, 0.5)


def test_a_run_that_has_just_begun(tmp_path: Path, run_manifest: Callable[..., dict[str, object]]) -> None:
    run = RunFolder(tmp_path / "a")
    run.create(config="", manifest=run_manifest())
    entry = read_entry(run, folder=tmp_path)
    assert (entry.status, entry.epochs, entry.best, entry.test, entry.faults) == ("unfinished", 0, None, None, ())


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"created": 5}', b'{"epoch": NaN}', b"[" * 100_000]
)
@pytest.mark.parametrize("file", ["manifest.json", "state.json", "metrics.jsonl", "report.json"])
def test_no_damage_stops_the_list(make_run: MakeRun, tmp_path: Path, file: str, content: bytes) -> None:
    make_run(tmp_path / "whole")
    (make_run(tmp_path / "damaged", report=REPORT).path / file).write_bytes(content + b"\n")
    entries = {entry.name: entry for entry in list_runs(tmp_path, nested=False)}
    assert entries["whole"].status == "finished"
    assert entries["damaged"].status == "damaged"
    assert file in entries["damaged"].faults[0]


def test_an_undefined_auroc_is_none(make_run: MakeRun, tmp_path: Path) -> None:
    nothing = {"value": None, "low": None, "high": None}
    run = make_run(tmp_path / "a", auroc=None, report=REPORT | {"auroc": nothing})
    entry = read_entry(run, folder=tmp_path, headlines=headline_of)
    assert (
        list(entry.reached("list").values()) == [None]
        and entry.best_figure("val_auroc") is None
        and entry.status == "finished"
    )


def test_runs_of_lists_are_told_when_asked_for(make_run: MakeRun, tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    make_run(tmp_path / "ablation" / "gate-seed0", created="2026-01-02")
    write_json(tmp_path / "a" / "wandb" / "manifest.json", {"created": "2026"})  # of something else, within a run
    assert [entry.name for entry in list_runs(tmp_path, nested=False)] == ["a"]
    assert [entry.name for entry in list_runs(tmp_path, nested=True)] == ["a", "ablation/gate-seed0"]


def test_no_folder_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "runs", nested=True) == []


def test_a_report_of_a_former_version_is_read_by_the_names_of_today(tmp_path: Path, make_run: MakeRun) -> None:
    facts = {"auroc": REPORT["auroc"], "session_disjoint": REPORT["auroc"], "session_disjoint_num_normal": 7}
    run = make_run(tmp_path / "a", report={"sections": {"headline": {"title": "The result", "facts": facts}}})
    read = read_report(run, split="test")
    assert read is not None and set(read.facts) == {"auroc", "group_disjoint", "group_disjoint_num_normal"}
