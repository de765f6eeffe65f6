"""Runs that are fitted, through every command that takes a run: judged, fused, listed, verified and compared."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("undrawn")

Run = Callable[..., Any]

RECIPES = {
    "nearest": ["--set", "recipe.name=nearest", "--set", "recipe.array=image/block_4/mean"],
    "gaussian": ["--set", "recipe.name=gaussian"],
}
JOINED = """
recipe:
  name: match_fusion
  folds: 2
  members:
    film: {name: gaussian, array: video/embedding}
    pictures: {name: gaussian, array: image/block_4/mean}
    match: {name: match, process: [video/embedding], result: [image/block_4/mean], folds: 2}
"""


@pytest.fixture(scope="module")
def fitted(extracted: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """A project with the finished runs `nearest` and `gaussian`. Not to be changed but by further runs."""
    folder = tmp_path_factory.mktemp("fitted") / "project"
    folder.mkdir()
    for path in extracted.iterdir():
        (folder / path.name).symlink_to(path)
    for name, chosen in RECIPES.items():
        outcome = weldcache("train", "--run", name, *chosen, folder=folder)
        assert outcome.code == 0, outcome.err
        assert "fitted in" in outcome.out
    return folder


@pytest.mark.parametrize("name", RECIPES)
def test_a_fitted_run_is_judged_without_weights_that_it_does_not_have(weldcache: Run, fitted: Path, name: str) -> None:
    outcome = weldcache("eval", "--run", name, folder=fitted)
    assert outcome.code == 0, outcome.err
    report = json.loads((fitted / "runs" / name / "report.json").read_text())
    sections = report["sections"]
    assert report["weights"] == "fitted"
    further = sections["further"]["facts"]
    assert further["raw_auroc"] is None
    assert further["recorded_validation_auroc"] == pytest.approx(further["validation_auroc"]["value"])
    assert sections["training"].get("figures", []) == []
    with (fitted / "runs" / name / "scores_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["raw_weights_score"] for row in rows} == {""} and all(float(row["score"]) >= 0 for row in rows)


def test_detectors_that_are_fitted_together_are_shown_one_by_one(weldcache: Run, fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "joined.yaml").write_text(JOINED)
    outcome = weldcache("train", "--config", str(tmp_path / "joined.yaml"), "--run", "joined", folder=fitted)
    assert outcome.code == 0, outcome.err
    outcome = weldcache("eval", "--run", "joined", "-v", folder=fitted)
    assert outcome.code == 0, outcome.err
    assert "Each member by itself" in outcome.out and "modality_dropout" not in outcome.out
    report = json.loads((fitted / "runs/joined/report.json").read_text())
    table = report["sections"]["members"]["rows"]["by_member"]
    assert [row["member"] for row in table] == ["film", "pictures", "match"]
    assert all(0 <= row["auroc"]["value"] <= 1 and row["num_without"] == 0 for row in table)
    assert report["sections"]["training"]["facts"].keys() == {"fitted_match_explained_variance"}
    modalities = {row["modality"] for row in report["sections"]["without_modality"]["rows"]["by_modality"]}
    assert modalities == {"video", "image"}


def test_a_finished_one_is_not_fitted_twice(weldcache: Run, fitted: Path) -> None:
    outcome = weldcache("train", "--run", "nearest", *RECIPES["nearest"], folder=fitted)
    assert outcome.code == 2 and "finished" in outcome.err


def test_fitted_runs_are_fused_listed_verified_and_compared(weldcache: Run, fitted: Path) -> None:
    for command in (
        ["fuse", "nearest", "gaussian", "--run", "both"],
        ["eval", "--run", "both"],
        ["runs", "list"],
        ["runs", "show", "nearest"],
        ["compare", "nearest", "gaussian", "both"],
        ["runs", "verify"],
    ):
        outcome = weldcache(*command, folder=fitted)
        assert outcome.code == 0, (command, outcome.err)
    assert (
        json.loads((fitted / "runs/both/report.json").read_text())["sections"]["further"]["facts"]["raw_auroc"] is None
    )


def test_a_list_of_variants_may_hold_fitted_ones(weldcache: Run, fitted: Path, tmp_path: Path) -> None:
    variants = "".join(f"  {name}: {{set: {{recipe.name: {name}}}}}\n" for name in RECIPES)
    (tmp_path / "detectors.yaml").write_text(f"seeds: [0, 1]\nvariants:\n{variants}")
    outcome = weldcache("bench", str(tmp_path / "detectors.yaml"), folder=fitted)
    assert outcome.code == 0, outcome.err
    again = weldcache("bench", str(tmp_path / "detectors.yaml"), folder=fitted)
    assert again.code == 0, again.err
