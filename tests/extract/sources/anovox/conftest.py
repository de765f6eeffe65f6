"""A few scenes of few pixels and points."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from weldcache.extract.sources.anovox.settings import AnoVoxSettings
from weldcache.extract.sources.anovox.source import AnoVoxSource
from weldcache.extract.sources.anovox.synth.pipeline import SceneGenerator
from weldcache.extract.sources.anovox.synth.plan import ScenePlan, plan_for_size


def few_scenes(*plant: str) -> ScenePlan:
    plan = plan_for_size("tiny", seed=0, plant=plant)
    return replace(plan, num_streets=3, scenarios_a_street=2, num_frames=2, width=24, channels=6, azimuths=30)


@pytest.fixture(scope="package")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three normal scenarios and three with an anomaly, of two frames. Not to be changed."""
    root = tmp_path_factory.mktemp("anovox") / "few"
    SceneGenerator().generate(root, plan=few_scenes(), workers=1, preset=None)
    return root


@pytest.fixture
def copied(few: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return Path(shutil.copytree(few, tmp_path / "few"))


@pytest.fixture
def open_scenes() -> Callable[..., AnoVoxSource]:
    return lambda root, **settings: AnoVoxSource(AnoVoxSettings(root=root, **settings))
