"""Settings of a run on the disk: they can be shared, and are found again where the run is."""

import shutil
from pathlib import Path

import pytest

from weldcache.atomic import write_text
from weldcache.settings import Settings, to_yaml
from weldcache.train.runs.documents import read_settings, shareable


def settings(*, root: Path, cache: Path, runs: Path) -> Settings:
    data = {"source": "welds", "root": root}
    return Settings.model_validate({"data": data, "cache": {"path": cache}, "runs": {"folder": runs}})


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home/carla"))
    return tmp_path / "home/carla"


@pytest.mark.parametrize("runs", ["runs", "runs/ablation"])
def test_paths_in_the_project_are_told_from_the_runs_folder(home: Path, runs: str) -> None:
    project = home / "project"
    kept = settings(root=project / "data", cache=project / "features.zarr", runs=project / runs)
    text = to_yaml(shareable(kept))
    assert "carla" not in text
    config = project / runs / "first/config.yaml"
    write_text(config, text)
    assert read_settings(config, config.read_bytes()) == kept
    moved = shutil.move(project, home / "moved")
    config = Path(moved) / runs / "first/config.yaml"
    found = read_settings(config, config.read_bytes())
    assert found == settings(root=moved / "data", cache=moved / "features.zarr", runs=moved / runs)


def test_paths_elsewhere_in_the_home_are_told_from_there(home: Path) -> None:
    kept = settings(root=Path("/mnt/welds"), cache=home / "scratch/x.zarr", runs=home / "project/runs")
    text = to_yaml(shareable(kept))
    assert "carla" not in text and "~/scratch/x.zarr" in text
    config = home / "project/runs/first/config.yaml"
    write_text(config, text)
    assert read_settings(config, config.read_bytes()) == kept


def test_a_run_that_is_a_link_to_another_disk_finds_its_project(home: Path, tmp_path: Path) -> None:
    project = home / "project"
    kept = settings(root=project, cache=project / "x.zarr", runs=project / "runs")
    write_text(tmp_path / "disk/first/config.yaml", to_yaml(shareable(kept)))
    (project / "runs").mkdir(parents=True)
    (project / "runs/first").symlink_to(tmp_path / "disk/first")
    config = project / "runs/first/config.yaml"
    assert read_settings(config, config.read_bytes()) == kept
