"""`weldcache fuse`: an autoencoder beside Causal-FiLM on real files, fused and judged like any run."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.tests.toy import undraw

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def two_runs(weldcache: Run, judged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with `first`, a Causal-FiLM, and `ae`, both judged on test and on validation. Not to be changed.

    The tokens of the film stand for the frames that the autoencoder asks for.
    """
    project = Path(shutil.copytree(judged, tmp_path_factory.mktemp("fuse") / "project"))
    store = FeatureStore.open(project / "features.zarr")
    rows = range(len(store.index))
    frames = ArraySpec("embedding", store.array_spec("video/tokens").shape, ("frame", "dim"), "float16")
    store.add_feature_set(FeatureSetSpec("frames", [frames], store.manifest["features"]["video"]["made_by"]))
    values, sources = {"embedding": store.read("video/tokens", rows)}, store.sources("video", rows)
    StoreWriter(store).write("frames", rows, values, sources=sources, notes=[""] * len(rows))
    with pytest.MonkeyPatch.context() as patch:
        undraw(patch)
        for command in (
            ["train", "--config", "video_ae", "--run", "ae"],
            ["eval", "--run", "ae"],
            ["eval", "--run", "ae", "--split", "val"],
            ["eval", "--run", "first", "--split", "val"],
        ):
            outcome = weldcache(*command, folder=project)
            assert outcome.code == 0, (command, outcome.err)
    return project


def scores_in(run: Path, split: str) -> dict[str, np.ndarray]:
    """Columns of a table of scores."""
    with (run / f"scores_{split}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = {name: np.array([float(row[name]) for row in rows]) for name in ("score", "raw_weights_score", "label")}
    return {**numbers, "key": np.array([row["key"] for row in rows])}


def test_the_fused_run_is_judged_by_the_members_scores(
    weldcache: Run, two_runs: Path, runs_of: Callable[[Path], Path], undrawn: None
) -> None:
    project = runs_of(two_runs)
    outcome = weldcache("fuse", "first", "ae", "--weights", "0.37,0.63", folder=project)
    assert outcome.code == 0, outcome.err
    assert "first: weight 0.37" in outcome.out and "weldcache eval late_fusion-001" in outcome.out
    runs = project / "runs"
    expected = {"score": 0.0, "raw_weights_score": 0.0}
    for name, share in (("first", 0.37), ("ae", 0.63)):
        test, validation = scores_in(runs / name, "test"), scores_in(runs / name, "val")
        for column in expected:
            normals = validation[column][validation["label"] == 0]
            expected[column] = expected[column] + share * (test[column] - normals.mean()) / normals.std()
    for name in ("first", "ae"):
        shutil.rmtree(runs / name)
    outcome = weldcache("eval", "-v", folder=project)
    assert outcome.code == 0, outcome.err
    assert "by their spread over 4 validation normals alone" in outcome.out
    fused = scores_in(runs / "late_fusion-001", "test")
    assert len(fused["key"]) == 15
    for column, values in expected.items():
        np.testing.assert_allclose(fused[column], values, rtol=1e-3, atol=1e-3)
    assert (runs / "late_fusion-001" / "report.html").is_file()
    report = json.loads((runs / "late_fusion-001" / "report.json").read_text())
    assert sorted(row["modality"] for row in report["sections"]["without_modality"]["rows"]["by_modality"]) == [
        "audio",
        "image",
        "sensor",
    ]  # the autoencoder cannot do without the film
    table = report["sections"]["members"]["rows"]["by_member"]
    assert [(row["member"], row["num_without"]) for row in table] == [("first", 0), ("ae", 0)]
    members = report["provenance"]["settings"]["recipe"]["members"]
    assert {name: recipe["name"] for name, recipe in members.items()} == {"first": "causal_film", "ae": "video_ae"}


def test_fitted_weights_and_a_name(weldcache: Run, two_runs: Path, runs_of: Callable[[Path], Path]) -> None:
    project = runs_of(two_runs)
    outcome = weldcache("fuse", "first", "ae", "--weights", "fit", "--run", "both", "--json", folder=project)
    assert outcome.code == 0, outcome.err
    assert json.loads(outcome.raw_out)["name"] == "both" and (project / "runs" / "both" / "manifest.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["first"], "two runs at least"),
        (["first", "ae", "--weights", "0.5,0.6"], "sum to 1"),
        (["first", "ae", "--weights", "best"], "expected equal, fit"),
        (["first", "nobody"], "nobody is not a run"),
    ],
)
def test_what_cannot_be_fused_is_said_in_a_sentence(
    weldcache: Run, two_runs: Path, arguments: list[str], said: str
) -> None:
    outcome = weldcache("fuse", *arguments, folder=two_runs)
    assert outcome.code == 2 and outcome.out == ""
    assert said in outcome.err and "Traceback" not in outcome.err
    assert not (two_runs / "runs" / "late_fusion-001").exists()
