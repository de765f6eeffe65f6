"""`weldcache audit`: of a data set alone, of a store, of a run; what it prints and how it exits."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Run = Callable[..., Any]
Rows = Callable[[Path], list[dict[str, str]]]


def test_a_data_set_alone_has_nothing_wrong(weldcache: Run, synthetic: Path) -> None:
    outcome = weldcache("audit", "-v", folder=synthetic)
    assert outcome.code == 0, outcome.out
    assert outcome.out.startswith("Nothing is wrong") and "No store" in outcome.out and "two reads" in outcome.out


def test_a_recording_under_two_names_in_two_parts_is_severe(
    weldcache: Run,
    synthetic: Path,
    linked_copy_of: Callable[[Path], Path],
    manifest_rows: Rows,
    write_rows: Callable[[Path, list[dict[str, str]]], None],
) -> None:
    project = linked_copy_of(synthetic)
    rows = manifest_rows(project)
    (first,) = [row for row in rows if row["SPLIT"] == "TRAIN"][:1]
    twin = next(row for row in rows if row["SPLIT"] == "TEST" and row["CATEGORY"] == "good")
    shutil.rmtree(project / twin["SUBDIRS"])
    shutil.copytree(project / first["SUBDIRS"], project / twin["SUBDIRS"])
    outcome = weldcache("audit", "--json", folder=project)
    told = json.loads(outcome.raw_out)
    assert outcome.code == 1 and told["verdict"] == "severe" and told["errors"] == 1
    (found,) = [finding for finding in told["findings"] if finding["severity"] == "error"]
    assert (
        found["check"] == "files" and first["SUBDIRS"] in found["evidence"] and "weldcache extract" in found["remedy"]
    )
    assert outcome.err == ""


def test_where_there_is_nothing_it_says_so(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("audit", "--data", str(tmp_path / "none"), folder=tmp_path)
    assert outcome.code == 2 and "nothing to audit" in outcome.err and "none" in outcome.err


def test_a_foreign_log_is_judged_alone(weldcache: Run, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("".join(f"[{epoch}] bce 0.3313 acc 90.12%\n" for epoch in range(5)))
    pattern = r"bce (?P<loss>\S+) acc (?P<val_accuracy>\S+)"
    arguments = ["audit", "--log", "log.txt", "--pattern", pattern, "--base-rate", "0.0988"]
    outcome = weldcache(*arguments, "--json", folder=tmp_path)
    assert outcome.code == 1 and {each["check"] for each in json.loads(outcome.raw_out)["findings"]} == {
        "loss",
        "base rate",
    }
    (tmp_path / "log.csv").write_text("bce,valid_acc\n0.4,0.8\n0.3,0.9\n0.2,0.95\n")
    outcome = weldcache("audit", "--log", "log.csv", "--column", "loss=bce", folder=tmp_path)
    assert outcome.code == 0 and outcome.out.startswith("Nothing is wrong")
    outcome = weldcache("audit", "--log", "log.csv", "--column", "los=bce", folder=tmp_path)
    assert outcome.code == 2 and "val_" in outcome.err
