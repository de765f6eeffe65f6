"""`weldcache train`: what it cannot train on is a sentence, and no run is ever lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.store import FeatureStore

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def half_extracted(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the train split alone."""
    cache = Path(shutil.copytree(extracted / "features.zarr", tmp_path_factory.mktemp("half") / "half.zarr"))
    store = FeatureStore.open(cache)
    for feature_set in store.feature_sets:
        store.forget(feature_set, np.flatnonzero(store.index.parts != "train"))
    return cache


def test_without_a_cache_the_command_that_makes_one(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("train", "--config", "demo-random", "--cache", "nowhere.zarr", folder=tmp_path)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "nowhere.zarr" in outcome.err and "weldcache extract" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_split_that_was_not_extracted_is_named_with_its_command(
    weldcache: Run, half_extracted: Path, synthetic: Path
) -> None:
    outcome = weldcache("train", "--cache", str(half_extracted), folder=synthetic)
    assert outcome.code == 2
    assert "weldcache extract --split val" in outcome.err
    assert not (synthetic / "runs").exists()


def test_a_film_is_no_row_of_frames(weldcache: Run, extracted: Path) -> None:
    frames = ("--set", "recipe.name=video_ae", "--set", "recipe.frames=video")
    outcome = weldcache("train", *frames, folder=extracted)
    assert outcome.code == 2 and "fault of weldcache" not in outcome.err
    assert "video/embedding" in outcome.err and "recipe.frames" in outcome.err


def test_what_a_fitted_recipe_does_not_read_is_refused_where_it_was_asked_for(weldcache: Run, extracted: Path) -> None:
    fitted = ("--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values")
    outcome = weldcache("train", *fitted, "--set", "train.lr=1e-3", "--set", "train.epochs=3", folder=extracted)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert all(name in outcome.err for name in ("nearest", "train.lr", "train.epochs"))
    assert not (extracted / "runs").exists()


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("recipe.blocks=[2,3]", "--set recipe.blocks=[2,4]"),
        ("train.device=cuda:7", "train.device"),
        ("train.lr=-1", "train.lr"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is_written(
    weldcache: Run, extracted: Path, setting: str, said: str
) -> None:
    outcome = weldcache("train", "--set", setting, folder=extracted)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert said in outcome.err
    assert not (extracted / "runs").exists()


def test_a_finished_runs_name_is_taken_unless_it_is_given_up(
    weldcache: Run, judged: Path, runs_of: Callable[[Path], Path], contents: Contents
) -> None:
    project = runs_of(judged)
    before = contents(project / "runs")
    refused = weldcache("train", "--run", "first", folder=project)
    assert refused.code == 2 and "is finished" in refused.err and "--overwrite" in refused.err
    assert contents(project / "runs") == before
    replaced = weldcache("train", "--run", "first", "--overwrite", "--set", "train.epochs=1", folder=project)
    assert replaced.code == 0
    assert len((project / "runs/first/metrics.jsonl").read_text().splitlines()) == 1
    assert not (project / "runs/first/report.json").exists()  # it judged the run that is gone


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden"])
def test_a_runs_name_is_one_plain_folder(weldcache: Run, extracted: Path, name: str) -> None:
    outcome = weldcache("train", "--run", name, folder=extracted)
    assert outcome.code == 2 and "A run's name" in outcome.err
    assert not (extracted / "runs").exists() and not (extracted.parent / "escape").exists()


def test_a_run_says_what_made_it(judged: Path) -> None:
    manifest = json.loads((judged / "runs/first/manifest.json").read_text())
    assert manifest["command"] == "weldcache train --run first"
    assert len(manifest["fingerprint"]) == 64
    assert json.loads((judged / "runs/first/state.json").read_text())["finished"] is True
