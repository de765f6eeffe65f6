"""A detector that learned from defects is judged as an anomaly detector is, and beside what surrounds defects."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.evaluate.judging import background_of
from weldcache.evaluate.scoring import score_split, scorer_of
from weldcache.evaluate.tasks.detection.judge import DetectionJudge, surroundings_control
from weldcache.testing.judges import JudgeContract
from weldcache.train.runs.trained_run import load_run


class TestContract(JudgeContract):
    def judge(self) -> DetectionJudge:
        return DetectionJudge()

    @pytest.fixture
    def run(self, scenes: Path, runs_of: Callable[[Path], Path]) -> Path:
        return runs_of(scenes) / "runs/detector"


def test_the_surroundings_control_gives_all_of_a_group_the_same_and_says_what_it_saw(
    scenes: Path, runs_of: Callable[[Path], Path]
) -> None:
    run = load_run(runs_of(scenes) / "runs/detector")
    judge, scorer = DetectionJudge(), scorer_of(run, cache=None, device="cpu")
    background = background_of(judge, scorer, settings=run.settings.evaluate)
    test = score_split(scorer, "test")
    control = surroundings_control(test.table, test.rows.usable, background=background)
    assert control.auroc is not None and control.told == "learned from pixels/values"
    assert control.difference is not None


def test_eval_and_the_list_of_runs_tell_the_figure(evaluated: Callable[[str], tuple[dict[str, Any], str]]) -> None:
    facts, runs = evaluated("detector")
    assert 0 <= facts["auroc"]["value"] <= 1 and "AUROC" in runs
