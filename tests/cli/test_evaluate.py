"""`weldcache eval`: the right run on the right features, or a sentence."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.store import FeatureStore

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]
RunsOf = Callable[[Path], Path]


pytestmark = pytest.mark.usefixtures("undrawn")


def test_json_is_the_report(weldcache: Run, judged: Path, runs_of: RunsOf) -> None:
    project = runs_of(judged)
    outcome = weldcache("eval", "--json", folder=project)
    assert outcome.code == 0
    kept = json.loads((project / "runs/first/report.json").read_text())
    assert json.loads(outcome.raw_out).items() <= kept.items()
    assert kept.keys() - json.loads(outcome.raw_out).keys() == {"files", "manifest_checksum", "checksum"}


def test_the_latest_run_is_judged_and_named(weldcache: Run, judged: Path, runs_of: RunsOf) -> None:
    project = runs_of(judged)
    fitted = ["--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values"]
    assert weldcache("train", *fitted, folder=project).code == 0
    outcome = weldcache("eval", "--split", "val", "-v", folder=project)
    assert outcome.code == 0
    assert "nearest-001 on val" in outcome.out
    assert (project / "runs/nearest-001/scores_val.csv").is_file()
    assert f"Report: {project / 'runs/nearest-001/report_val.html'}" in outcome.out
    assert "validation samples" in outcome.out  # judged on what chose it


@pytest.mark.parametrize(
    ("options", "said"),
    [([], "no finished run"), (["--run", "lost"], "lost is not a run"), (["--run", "../x"], "../x is a path")],
)
def test_without_a_run_the_command_that_makes_one(
    weldcache: Run, extracted: Path, options: list[str], said: str
) -> None:
    outcome = weldcache("eval", *options, folder=extracted)
    assert outcome.code == 2 and "Traceback" not in outcome.err and outcome.out == ""
    assert said in outcome.err
    assert "weldcache train" in outcome.err or "name the run" in outcome.err


def test_without_the_cache_the_command_that_makes_one(
    weldcache: Run, judged: Path, runs_of: RunsOf, contents: Contents
) -> None:
    project = runs_of(judged)
    before = contents(project / "runs")
    outcome = weldcache("eval", "--cache", "nowhere.zarr", folder=project)
    assert outcome.code == 2
    assert "nowhere.zarr" in outcome.err and "weldcache extract" in outcome.err
    assert contents(project / "runs") == before


def test_another_cache_is_refused_with_the_difference_named(
    weldcache: Run, judged: Path, runs_of: RunsOf, contents: Contents
) -> None:
    project = runs_of(judged)
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", project / "other.zarr")))
    manifest = json.loads(json.dumps(store.manifest))
    manifest["features"]["video"]["made_by"]["decoding"]["num_frames"] = 8
    store._describe(manifest=manifest)
    before = contents(project / "runs")
    outcome = weldcache("eval", "--run", "first", "--cache", "other.zarr", folder=project)
    assert outcome.code == 2 and "Traceback" not in outcome.err
    assert "trained on other features than" in outcome.err
    assert "num_frames: 16 in the run, 8 in the cache" in outcome.err
    assert contents(project / "runs") == before
    unfinished = weldcache("train", "--run", "first", "--cache", "other.zarr", folder=project)
    assert unfinished.code == 2 and contents(project / "runs") == before


def test_a_moved_project_is_judged_all_the_same(weldcache: Run, judged: Path, tmp_path: Path) -> None:
    """The run remembers where its cache is as seen from its folder, and says nothing of where the project was."""
    project = tmp_path / "moved"
    shutil.copytree(judged, project)
    for path in (project / "runs/first").iterdir():
        assert str(judged).encode() not in path.read_bytes(), path.name
    outcome = weldcache("eval", folder=project)
    assert outcome.code == 0, outcome.err
    mine, reference = (path / "runs/first/scores_test.csv" for path in (project, judged))
    assert mine.read_bytes() == reference.read_bytes()


def test_a_run_that_is_not_good_enough_ends_with_its_own_status(
    weldcache: Run, judged: Path, runs_of: RunsOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, opened = runs_of(judged), list[str]()
    monkeypatch.setattr("typer.launch", opened.append)
    good = weldcache("eval", "first", "--open", "--fail-under", "0", "--fail-over", "1", folder=project)
    assert good.code == 0 and good.err == ""
    assert opened == [(project / "runs/first/report.html").as_uri()]
    facts = {name: fact for each in _sections(project) for name, fact in each.get("facts", {}).items()}
    auroc = facts["auroc"]["value"]
    bad = weldcache("eval", "first", "--fail-under", f"{auroc + 0.01}", "--json", folder=project)
    assert bad.code == 3 and json.loads(bad.raw_out)["run"] == "first"
    assert f"first on test is not good enough: the AUROC is {auroc:.3f} (" in bad.err


def _sections(project: Path) -> list[dict[str, Any]]:
    return list(json.loads((project / "runs/first/report.json").read_text())["sections"].values())
