"""Mistakes that made a figure wrong in silence once, each on a real store, through the commands, to the report."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.store import FeatureStore
from weldcache.tests.evaluate.test_judged_rows import keys_of, redivide
from weldcache.tests.toy import lose

Run = Callable[..., Any]
Rows = list[dict[str, str]]
PHOTOGRAPHS = ("image/block_2", "image/block_4")


@pytest.fixture
def project(judged: Path, copy_of: Callable[[Path], Path], undrawn: None) -> Path:
    return copy_of(judged)


def _judge(project: Path, weldcache: Run, *options: str) -> dict[str, Any]:
    outcome = weldcache("eval", "--run", "first", *options, folder=project)
    assert outcome.code == 0, outcome.err
    return _told(project)


def _told(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs/first/report.json").read_text())["sections"]
    return found


def _control(report: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in report["controls"]["rows"]["by_control"] if row["control"] == name)
    return found


def test_a_modality_that_defects_alone_have_is_told_by_the_presence_control(project: Path, weldcache: Run) -> None:
    """What is there at all tells every defect here: no figure of the model may be believed beside that."""
    store = FeatureStore.open(project / "features.zarr")
    lose(store, PHOTOGRAPHS, np.flatnonzero((store.index.parts != "test") | (store.index.labels == 0)).tolist())
    assert weldcache("train", "--run", "first", "--overwrite", "--set", "train.epochs=1", folder=project).code == 0
    report = _judge(project, weldcache)
    assert _control(report, "presence control")["auroc"]["value"] == 1
    assert report["verdict"]["standing"] == "bad"
    assert "presence control" in " ".join([*report["verdict"]["note"], *report["verdict"]["points"]])


def test_training_rows_are_not_judged_through_another_store(project: Path, weldcache: Run) -> None:
    other = project / "other.zarr"
    shutil.copytree(project / "features.zarr", other)
    store = FeatureStore.open(other)
    normals, defects = (keys_of(store, part, label=label) for part, label in (("train", 0), ("test", 1)))
    redivide(store, dict.fromkeys(normals[:4], "test"))
    before = _told(project)["headline"]["facts"]
    report = _judge(project, weldcache, "--cache", str(other))
    assert report["headline"]["facts"]["auroc"] == before["auroc"]
    assert report["headline"]["facts"]["num_normal"] == before["num_normal"]
    assert "4 samples that this run was trained on" in report["verdict"]["points"][0]
    with (project / "runs/first/scores_test.csv").open(newline="") as file:
        judged = {row["key"] for row in csv.DictReader(file)}
    assert not judged & {*normals} and {*defects} <= judged


def test_a_scale_that_two_normals_would_give_is_not_used_and_that_is_said(project: Path, weldcache: Run) -> None:
    store = FeatureStore.open(project / "features.zarr")
    of_validation = np.flatnonzero((store.index.parts == "val") & (store.index.labels == 0))
    lose(store, PHOTOGRAPHS, of_validation[2:].tolist())
    lose(store, PHOTOGRAPHS, np.flatnonzero(store.index.parts == "test")[::2].tolist())
    report = _judge(project, weldcache)
    facts = report["headline"]["facts"]
    assert facts["num_scale_normals"] == len(of_validation[:2]) == 2
    assert facts["num_own_scale"] == len(np.flatnonzero(store.index.parts == "test")[::2])
    assert report["verdict"]["standing"] == "bad"
    assert any("2 normals that lack nothing" in text for text in report["verdict"]["points"])


def test_no_change_among_a_few_is_no_proof_that_a_modality_is_not_needed(judged: Path) -> None:
    """Four normals and eleven defects: where each keeps its place there is an interval all the same, or no word."""
    report = _told(judged)
    changes = [row["change"] for row in report["without_modality"]["rows"]["by_modality"]]
    assert all(change["high"] - change["low"] > 0.1 for change in changes)
    assert not any("does without." in text for text in report["verdict"]["points"])


@pytest.fixture
def renamed(
    project: Path,
    manifest_rows: Callable[[Path], Rows],
    write_rows: Callable[[Path, Sequence[dict[str, str]]], None],
) -> Callable[..., None]:
    """Calls the normals of test otherwise, one name each, as far as there are names."""

    def rename(*names: str) -> None:
        rows = manifest_rows(project)
        normals = [row for row in rows if row["SPLIT"] == "TEST" and row["CATEGORY"] == "good"]
        for row, name in zip(normals, names, strict=False):
            row["CATEGORY"] = name
        write_rows(project, rows)

    return rename


def test_normals_of_other_names_stay_normal(project: Path, weldcache: Run, renamed: Callable[..., None]) -> None:
    before = _told(project)
    renamed("no defect", "OK", "gut", "normal")
    outcome = weldcache("extract", "--relabel", folder=project)
    assert outcome.code == 0, outcome.err
    report = _judge(project, weldcache)
    for name in ("num_normal", "num_defect", "auroc"):
        assert report["headline"]["facts"][name] == before["headline"]["facts"][name]
    assert report["by_class"]["rows"] == before["by_class"]["rows"]


def test_what_nobody_knows_is_no_defect(project: Path, weldcache: Run, renamed: Callable[..., None]) -> None:
    before = _told(project)
    renamed("unknown")
    refused = weldcache("extract", "--relabel", folder=project)
    assert refused.code == 2 and "unknown" in refused.err and "data.unlabelled" in refused.err
    taken = weldcache("extract", "--relabel", "--set", "data.unlabelled=leave_out", folder=project)
    assert taken.code == 0, taken.err
    report = _judge(project, weldcache)
    assert report["headline"]["facts"]["num_normal"] == before["headline"]["facts"]["num_normal"] - 1
    assert report["by_class"]["rows"]["by_class"] and "unknown" not in str(report["by_class"]["rows"])
