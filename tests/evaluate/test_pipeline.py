"""A run is judged on the features that it was trained on, and on what its folder says of the training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache.train.runs.checkpoint import read_checkpoint, write_checkpoint

Run = Callable[..., Any]
CopyOf = Callable[[Path], Path]


@pytest.fixture
def project(judged: Path, copy_of: CopyOf) -> Path:
    """A project with a store and the run `first`, for this test to change."""
    return copy_of(judged)


def report_of(project: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs" / run / "report.json").read_text())
    return found


def test_what_the_store_gains_changes_no_figure_of_a_run(weldcache: Run, project: Path) -> None:
    """Another block, then another backbone of which a second run is trained: each is judged on its own features."""
    scores = project / "runs/first/scores_test.csv"
    before, report = scores.read_bytes(), report_of(project, "first")
    assert weldcache("extract", "--set", "features.image.blocks=[2,3,4]", folder=project).code == 0
    with (project / "weldcache.yaml").open("a") as file:
        file.write("features:\n  image_b: {kind: photographs, model: demo, blocks: [2, 4], size: 112, num_views: 4}\n")
    beside = ["--set", "recipe.image=image_b"]
    assert weldcache("extract", folder=project).code == 0
    for outcome in (
        weldcache("eval", "--run", "first", folder=project),
        weldcache("train", "--run", "second", *beside, folder=project),
        weldcache("eval", "--run", "second", folder=project),
    ):
        assert outcome.code == 0, outcome.err
    assert scores.read_bytes() == before
    again, second = report_of(project, "first"), report_of(project, "second")
    assert again["provenance"]["fingerprint"] == report["provenance"]["fingerprint"]
    assert again["sections"]["headline"]["facts"] == report["sections"]["headline"]["facts"]
    assert second["provenance"]["fingerprint"] != report["provenance"]["fingerprint"]
    assert second["provenance"]["settings"]["recipe"]["image"] == "image_b"


def test_validation_that_does_not_come_out_as_recorded_is_said_first(weldcache: Run, project: Path) -> None:
    path = project / "runs/first/best.safetensors"
    checkpoint = read_checkpoint(path)
    metrics = {**checkpoint.record["metrics"], "val_auroc": 0.1234}
    write_checkpoint(path, replace(checkpoint, record={**checkpoint.record, "metrics": metrics}))
    outcome = weldcache("eval", "--run", "first", folder=project)
    assert outcome.code == 0, outcome.err
    report = report_of(project, "first")
    assert (
        "training recorded 0.1234 for them, a difference beyond rounding" in report["sections"]["verdict"]["points"][0]
    )
    assert report["sections"]["further"]["facts"]["recorded_validation_auroc"] == 0.1234


def test_representations_that_training_watched_are_in_the_report(project: Path) -> None:
    found = report_of(project, "first")["sections"]["training"]["rows"]["representations"]
    rows = [json.loads(line) for line in (project / "runs/first/metrics.jsonl").read_text().splitlines()]
    last = {spread["representation"]: spread for spread in found}
    assert last and {spread["epoch"] for spread in last.values()} == {len(rows)}
    for name, spread in last.items():
        assert spread["effective_rank"] == rows[-1][f"{name}_effective_rank"]
        assert 0 < spread["std_min"] <= spread["std"] <= spread["std_max"]


def test_features_made_anew_by_other_weights_are_refused(weldcache: Run, project: Path) -> None:
    refreshed = weldcache("extract", "--refresh", "--set", "extract.demo_seed=1", folder=project)
    assert refreshed.code == 0, refreshed.err
    outcome = weldcache("eval", "--run", "first", folder=project)
    assert outcome.code == 2
    assert "trained on other features than" in outcome.err
    assert "weights_sha256" in outcome.err


def test_a_store_without_what_the_run_uses_is_refused(weldcache: Run, project: Path) -> None:
    other = ["--cache", "other.zarr", "--set", "features.image.blocks=[4]"]
    assert weldcache("extract", *other, folder=project).code == 0
    outcome = weldcache("eval", "--run", "first", "--cache", "other.zarr", folder=project)
    assert outcome.code == 2
    assert "features.image/block_2.arrays" in outcome.err and "(absent) in the cache" in outcome.err
