"""What scores are read by: kept in the run when it is trained, resting on what it names, made again or refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weldcache.cache.store import FeatureStore
from weldcache.errors import TrainingError
from weldcache.evaluate.judge import Background
from weldcache.evaluate.judging import background_of, calibration_of, keep_calibration
from weldcache.evaluate.scoring import Scorer, load_models
from weldcache.evaluate.tasks.anomaly.judge import AnomalyCalibration, AnomalyJudge
from weldcache.metrics.calibration import LogisticCurve
from weldcache.testing.judges import JudgeContract
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.trained_run import load_run

Run = Callable[..., Any]
RunsOf = Callable[[Path], Path]


@pytest.fixture
def project(judged: Path, runs_of: RunsOf, undrawn: None) -> Path:
    return runs_of(judged)


class TestAnomaly(JudgeContract):
    def judge(self) -> AnomalyJudge:
        return AnomalyJudge()

    @pytest.fixture
    def run(self, project: Path) -> Path:
        return project / "runs/first"


def _background(project: Path, *, target_fpr: float = 0.05) -> Background:
    run, store = load_run(project / "runs/first"), FeatureStore.open(project / "features.zarr")
    scorer = Scorer(run, store, models=load_models(run, store=store, device=torch.device("cpu")))
    settings = run.settings.evaluate.model_copy(update={"target_fpr": target_fpr})
    return background_of(AnomalyJudge(), scorer, settings=settings)


def _calibrated(project: Path, *, target_fpr: float = 0.05) -> AnomalyCalibration:
    background = _background(project, target_fpr=target_fpr)
    keep_calibration(AnomalyJudge(), background)
    return calibration_of(AnomalyJudge(), background)


def test_normals_are_scored_for_a_scale_only_where_one_is_made(project: Path) -> None:
    kept = _background(project)
    assert calibration_of(AnomalyJudge(), kept)["scales"] and "normals" not in vars(kept.validation)
    RunFolder(project / "runs/first").calibration_path.unlink()
    made = _background(project)
    calibration_of(AnomalyJudge(), made)
    assert set(vars(made.validation)["normals"]) == set(made.validation.scale_ways) != set()


def test_training_keeps_it_and_evaluation_reads_it(
    project: Path, weldcache: Run, facts_of: Callable[[Path], dict[str, Any]]
) -> None:
    run = RunFolder(project / "runs/first")
    told = run.read(run.calibration_path, AnomalyCalibration)
    facts = facts_of(run.path / "report.json")
    assert (told["task"], told["threshold"]) == ("anomaly", facts["threshold"])
    assert (told["target_fpr"], told["num_normal"]) == (0.05, facts["num_validation_normal"])
    assert told["rests_on"]["fingerprint"] == run.manifest()["fingerprint"]
    held = json.loads((run.path / "report.json").read_text())["sections"]["calibration"]
    # A former version told no probabilities: these are fitted again, on the same validation.
    former = {name: value for name, value in told.items() if name != "probabilities"}
    run.write(run.calibration_path, {**former, "threshold": 123.0})
    assert weldcache("eval", "--run", "first", folder=project).code == 0
    assert facts_of(run.path / "report.json")["threshold"] == 123.0
    assert json.loads((run.path / "report.json").read_text())["sections"]["calibration"] == held
    kept = told["probabilities"]
    assert kept is not None and held["rows"]["reliability"]
    with (run.path / "scores_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    curve = LogisticCurve(**kept["logistic"])
    expected = curve.at(np.array([float(row["score"]) for row in rows]))
    assert [float(row["probability"]) for row in rows] == pytest.approx(expected)


def test_a_run_without_one_gets_the_same_again(project: Path, weldcache: Run) -> None:
    path = project / "runs/first/calibration.json"
    before = path.read_bytes()
    path.unlink()
    assert weldcache("eval", "--run", "first", folder=project).code == 0
    assert path.read_bytes() == before


def test_one_that_rests_on_other_samples_or_weights_is_made_again(project: Path) -> None:
    run = RunFolder(project / "runs/first")
    told = run.read(run.calibration_path, AnomalyCalibration)
    for change in ({"samples": "0" * 64}, {"split": "0" * 64}, {"epoch": 999}):
        run.write(run.calibration_path, {**told, "threshold": 1.0, "rests_on": {**told["rests_on"], **change}})
        assert _calibrated(project)["threshold"] == told["threshold"]
        assert run.read(run.calibration_path, AnomalyCalibration)["rests_on"] == told["rests_on"]


def test_another_target_is_for_this_once(project: Path) -> None:
    kept = (project / "runs/first/calibration.json").read_bytes()
    assert _calibrated(project, target_fpr=0.6)["threshold"] < _calibrated(project)["threshold"]
    assert (project / "runs/first/calibration.json").read_bytes() == kept


@pytest.mark.parametrize("kind", ["edited", "of other features", "of another run", "without a threshold"])
def test_one_that_does_not_fit_the_run_is_refused_by_name(project: Path, weldcache: Run, kind: str) -> None:
    run = RunFolder(project / "runs/first")
    told: dict[str, Any] = dict(run.read(run.calibration_path, AnomalyCalibration))
    if kind == "edited":
        run.calibration_path.write_text(json.dumps({**told, "threshold": 1.0}))
    elif kind == "of other features":
        run.write(run.calibration_path, {**told, "rests_on": {**told["rests_on"], "fingerprint": "0"}})
    elif kind == "of another run":
        fitted = ["--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values"]
        assert weldcache("train", "--run", "second", *fitted, folder=project).code == 0
        run.calibration_path.write_bytes((project / "runs/second/calibration.json").read_bytes())
    else:
        run.write(run.calibration_path, {name: value for name, value in told.items() if name != "threshold"})
    with pytest.raises(TrainingError, match=r"calibration\.json"):
        _calibrated(project)
    outcome = weldcache("eval", "--run", "first", folder=project)
    assert outcome.code == 1 and "calibration.json" in outcome.err
    if kind in ("edited", "of another run"):
        assert weldcache("runs", "verify", folder=project).code == 1
