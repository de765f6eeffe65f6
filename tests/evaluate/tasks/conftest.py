"""A project whose samples have points, and two runs that were trained on anomalies too."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def scenes(made_once: Callable[..., Path], weldcache: Callable[..., Any]) -> Path:
    """Forty frames of twenty scenarios with the trained runs `detector` and `points`, not judged. Not to be changed."""
    from weldcache.extract.sources.anovox.synth.pipeline import SceneGenerator
    from weldcache.extract.sources.anovox.synth.plan import plan_for_size

    def fill(folder: Path) -> None:
        plan = replace(plan_for_size("tiny", seed=0), num_streets=10, width=48, azimuths=60)
        SceneGenerator().generate(folder, plan=plan, workers=1, preset="anovox-points")
        with (folder / "weldcache.yaml").open("a") as file:
            file.write("\nextract: {workers: 0}\nfeatures: {points: {num_points: 600}}\n")
        assert weldcache("extract", folder=folder).code == 0
        train = ["train", "--set", "train.epochs=4", "--set", "recipe.width=16"]
        assert weldcache(*train, "--run", "detector", folder=folder).code == 0
        of_points = ["--set", "recipe.name=anovox_point", "--set", "train.task=points"]
        assert weldcache(*train[:3], *of_points, "--run", "points", folder=folder).code == 0

    return made_once("scenes", fill)


@pytest.fixture
def evaluated(
    scenes: Path,
    runs_of: Callable[[Path], Path],
    weldcache: Callable[..., Any],
    facts_of: Callable[[Path], dict[str, Any]],
    undrawn: None,
) -> Callable[[str], tuple[dict[str, Any], str]]:
    """The facts of the report on a run of `scenes`, and what the list of runs says then."""

    def of(run: str) -> tuple[dict[str, Any], str]:
        project = runs_of(scenes)
        outcome = weldcache("eval", "--run", run, "--set", "evaluate.media=none", folder=project)
        assert outcome.code == 0, outcome.err
        return facts_of(project / f"runs/{run}/report.json"), weldcache("runs", "list", folder=project).out

    return of
