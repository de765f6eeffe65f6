"""Driving scenes from files to a verdict: the page's commands, the repaired recipe, and labels that a coin told."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from weldcache.extract.sources.anovox.synth.pipeline import SceneGenerator
from weldcache.extract.sources.anovox.synth.plan import COIN_FLIPS, plan_for_size

PAGE = Path(__file__).resolve().parents[4] / "docs" / "anovox.md"
Run = Callable[..., Any]

pytestmark = pytest.mark.slow


def test_the_commands_of_the_page_run(tmp_path: Path, weldcache: Run, undrawn: None) -> None:
    block = PAGE.read_text(encoding="utf-8").partition("```sh\n")[2].partition("```")[0]
    folder, done = tmp_path, []
    for program, *arguments in map(shlex.split, block.splitlines()):
        if program == "cd":
            folder = folder / arguments[0]
            continue
        outcome = weldcache(*arguments, *(["--workers", "1"] if arguments[0] == "synth" else []), folder=folder)
        assert program == "weldcache" and outcome.code == 0, outcome.err
        done.append(arguments[0])
    assert done == ["synth", "extract", "train", "eval"]


@pytest.fixture
def extracted(tmp_path: Path, weldcache: Run) -> Callable[..., Path]:
    """A project of many scenarios of few pixels, extracted: intervals are by scenario."""

    def make(*plant: str) -> Path:
        plan = replace(plan_for_size("tiny", seed=0, plant=plant), num_streets=60, width=36)
        SceneGenerator().generate(tmp_path / "scenes", plan=plan, workers=1, preset="anovox-points")
        settings = tmp_path / "scenes" / "weldcache.yaml"
        text = settings.read_text().replace("  source: anovox\n", "  source: anovox\n  test_fraction: 0.35\n")
        settings.write_text(f"{text}extract: {{workers: 0}}\n")
        assert weldcache("extract", folder=tmp_path / "scenes").code == 0
        return tmp_path / "scenes"

    return make


@pytest.fixture
def report_of(weldcache: Run, facts_of: Callable[[Path], dict[str, Any]], undrawn: None) -> Callable[..., Any]:
    """The verdict of a run that is trained with some settings, and the facts of its report."""

    def judge(project: Path, *options: str) -> tuple[str, dict[str, Any]]:
        trained = weldcache("train", "--run", "first", *options, folder=project)
        assert trained.code == 0, trained.err
        judged = weldcache("eval", "first", "-v", "--set", "evaluate.media=none", folder=project)
        assert judged.code == 0, judged.err
        return judged.out, facts_of(project / "runs/first/report.json")

    return judge


def test_the_repaired_recipe_beats_every_control(extracted: Callable[..., Path], report_of: Callable[..., Any]) -> None:
    told, facts = report_of(extracted(), "--set", "train.epochs=14")
    assert "The model beats chance and every control" in told
    assert facts["auroc"]["low"] > 0.6


def test_labels_that_a_coin_told_teach_nothing_and_the_report_says_so(
    extracted: Callable[..., Path], report_of: Callable[..., Any]
) -> None:
    """The best loss is about the coins' entropy, .3251 nats for one in ten, whatever is trained."""
    options = ["--set", "train.epochs=5", "--set", "recipe.pos_weight=none", "--set", "train.monitor=val_loss"]
    project = extracted(COIN_FLIPS)
    told, _ = report_of(project, *options)
    assert "better than chance" in told and "beats chance" not in told
    log = (project / "runs/first/metrics.jsonl").read_text().splitlines()
    assert 0.2 < min(json.loads(line)["val_loss"] for line in log) < 0.5
