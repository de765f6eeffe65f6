"""`weldcache runs`: what was trained, side by side, and what of it can be spared."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def project(judged: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """Runs `first`, which is evaluated, and `second`; and a list with one run. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "project"
    shutil.copytree(judged, folder)
    changed = ["--set", "train.lr=2e-3", "--set", "train.epochs=1"]
    assert weldcache("train", "--run", "second", *changed, folder=folder).code == 0
    listed = ["--set", "runs.folder=runs/ablation", "--set", "recipe.gate=false"]
    assert weldcache("train", "--run", "gate-seed0", *changed, *listed, folder=folder).code == 0
    return folder


def parsed(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.raw_out)


def test_the_list_tells_each_run(weldcache: Run, project: Path) -> None:
    outcome = weldcache("runs", "list", folder=project)
    assert outcome.code == 0 and outcome.err == ""
    assert "first" in outcome.out and "second" in outcome.out and "gate-seed0" not in outcome.out
    entries = parsed(weldcache("runs", "list", "--json", folder=project))["runs"]
    assert [entry["name"] for entry in entries] == ["first", "second"]
    first, second = entries
    report = json.loads((project / "runs/first/report.json").read_text())
    auroc = report["sections"]["headline"]["facts"]["auroc"]
    assert first["test_auroc"] == {name: auroc[name] for name in ("value", "low", "high")}
    assert second["test_auroc"] is None
    assert f"{auroc['value']:.3f}" in outcome.out
    assert (first["epochs"], second["epochs"]) == (3, 1)
    named = [entry["name"] for entry in parsed(weldcache("runs", "list", "--all", "--json", folder=project))["runs"]]
    assert sorted(named) == ["ablation/gate-seed0", "first", "second"]  # made within a second, maybe


def test_no_runs_is_a_sentence(weldcache: Run, extracted: Path) -> None:
    outcome = weldcache("runs", "list", folder=extracted)
    assert outcome.code == 0 and "weldcache train" in outcome.out
    assert weldcache("runs", "prune", folder=extracted).out == "There is nothing to remove."


def test_a_run_is_shown_with_what_was_set(weldcache: Run, project: Path) -> None:
    shown = parsed(weldcache("runs", "show", "second", "--json", folder=project))
    assert shown["preset"] == "demo-random"
    assert shown["changed"]["train.lr"] == {"here": 2e-3, "preset": 1e-3}
    assert "train.batch_size" not in shown["changed"]
    outcome = weldcache("runs", "show", "first", folder=project)
    assert outcome.code == 0
    for said in ("best.safetensors", "val_auroc", "fingerprint", "train.epochs 3 60", "random weights"):
        assert said in outcome.out


@pytest.mark.parametrize("name", [[], ["latest"]])
def test_the_latest_is_the_newest_finished_one(weldcache: Run, project: Path, name: list[str]) -> None:
    assert parsed(weldcache("runs", "show", *name, "--json", folder=project))["name"] == "second"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "firts"], "Did you mean first?"),
        (["show", "../x"], "../x is a path"),
        (["prune", "--keep-best", "0"], "keep-best"),
    ],
)
def test_what_is_not_there_is_a_sentence(weldcache: Run, project: Path, arguments: list[str], said: str) -> None:
    outcome = weldcache("runs", *arguments, folder=project)
    assert outcome.code == 2 and outcome.out == "" and "Traceback" not in outcome.err
    assert said in outcome.err


def test_reading_commands_survive_a_damaged_run(
    weldcache: Run, project: Path, runs_of: Callable[[Path], Path], contents: Contents, undrawn: None
) -> None:
    folder = runs_of(project)
    (folder / "runs/second/manifest.json").write_text("{")
    before = contents(folder)
    for command in (["list"], ["list", "--json"], ["show", "second"], ["show", "second", "--json"], ["prune"]):
        outcome = weldcache("runs", *command, folder=folder)
        assert outcome.code == 0, outcome.err
        assert "manifest.json is damaged" in outcome.out
    assert contents(folder) == before


def test_pruning_says_first_and_does_it_when_told(
    weldcache: Run, project: Path, runs_of: Callable[[Path], Path], contents: Contents, undrawn: None
) -> None:
    folder = runs_of(project)
    before = contents(folder)
    said = weldcache("runs", "prune", "--keep-best", "1", folder=folder)
    assert "would be removed" in said.out and "Nothing was changed" in said.out
    assert contents(folder) == before
    done = parsed(weldcache("runs", "prune", "--yes", "--json", folder=folder))
    gone = {f"runs/{name}/last.safetensors" for name in ("first", "second")}
    assert {f"runs/{removal['run']}/{removal['files'][0]}" for removal in done["removals"]} == gone
    assert done["num_bytes"] == sum(len(before[name]) for name in gone)
    assert contents(folder) == {name: content for name, content in before.items() if name not in gone}
    assert weldcache("eval", "--run", "second", folder=folder).code == 0  # which needs the best weights alone


def test_a_folder_of_runs_that_is_none_is_a_sentence(weldcache: Run, extracted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for folder in (str(tmp_path / "file"), "/proc/none"):
        setting = ["--set", f"runs.folder={folder}"]
        trained = weldcache("train", *setting, folder=extracted)
        assert trained.code == 2 and "runs.folder" in trained.err and "fault of weldcache" not in trained.err
        listed = weldcache("runs", "list", *setting, folder=extracted)
        assert listed.code == (2 if folder.endswith("file") else 0) and folder in listed.out + listed.err
    assert (tmp_path / "file").read_text() == "mine"


def test_names_that_no_disk_takes_are_refused_first(weldcache: Run, extracted: Path) -> None:
    for length in (201, 256, 5000):
        outcome = weldcache("train", "--run", "x" * length, folder=extracted)
        assert outcome.code == 2 and f"not {length:d}" in outcome.err
    assert not (extracted / "runs").exists()
