"""A run is judged on the features that it was trained on, and on what its folder says of the training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.arrays import FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.train.runs.checkpoint import read_checkpoint, write_checkpoint

Run = Callable[..., Any]
CopyOf = Callable[[Path], Path]


@pytest.fixture
def project(judged: Path, copy_of: CopyOf, undrawn: None) -> Path:
    """A project with a store and the run `first`, for this test to change."""
    return copy_of(judged)


def add_as(store: FeatureStore, name: str, other: str, **made_by: object) -> None:
    """Give a store the features of a set once more under another name, made by something else."""
    rows = range(len(store.index))
    values = {array: store.read(f"{name}/{array}", rows) for array in store.arrays(name)}
    made = {**store.manifest["features"][name]["made_by"], **made_by}
    store.add_feature_set(FeatureSetSpec(other, list(store.arrays(name).values()), made))
    StoreWriter(store).write(other, rows, values, sources=store.sources(name, rows), notes=[""] * len(rows))


def report_of(project: Path, run: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs" / run / "report.json").read_text())
    return found


def test_what_the_store_gains_changes_no_figure_of_a_run(weldcache: Run, project: Path) -> None:
    """Another block, then another backbone of which a second run is trained: each is judged on its own features."""
    scores = project / "runs/first/scores_test.csv"
    before, report = scores.read_bytes(), report_of(project, "first")
    store = FeatureStore.open(project / "features.zarr")
    add_as(store, "image/block_2", "image/block_3", block=3)
    for block in (2, 4):
        add_as(store, f"image/block_{block}", f"image_b/block_{block}", backbone={"model": "b", "random_weights": True})
    beside = ["--set", "recipe.image=image_b", "--set", "train.epochs=1"]
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
    store = FeatureStore.open(project / "features.zarr")
    manifest = json.loads(json.dumps(store.manifest))
    manifest["features"]["video"]["made_by"]["backbone"]["weights_sha256"] = "0" * 64
    store._describe(manifest=manifest)
    outcome = weldcache("eval", "--run", "first", folder=project)
    assert outcome.code == 2
    assert "trained on other features than" in outcome.err
    assert "weights_sha256" in outcome.err


def test_a_store_without_what_the_run_uses_is_refused(weldcache: Run, project: Path) -> None:
    store = FeatureStore.open(project / "features.zarr")
    store._describe(manifest=store._manifest_without("features", "image/block_2"))
    outcome = weldcache("eval", "--run", "first", folder=project)
    assert outcome.code == 2
    assert "features.image/block_2.arrays" in outcome.err and "(absent) in the cache" in outcome.err
