"""`weldcache new`: what is written works at once, keeps to its contract, and takes no name that is taken."""

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from weldcache.skeletons.write import write_skeleton

Run = Callable[..., Any]

KINDS = ("source", "recipe", "judge")


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_names_what_it_brings(weldcache: Run, tmp_path: Path, kind: str) -> None:
    outcome = weldcache("new", kind, "my_own", folder=tmp_path)
    assert outcome.code == 0 and "pip install -e my_own" in outcome.out and "=my_own chooses it" in outcome.out
    package = tomllib.loads((tmp_path / "my_own/pyproject.toml").read_text())
    assert package["project"]["entry-points"] == {
        f"weldcache.{kind}s": {"my_own": f"my_own.{kind}:MyOwn{kind.capitalize()}"}
    }
    again = weldcache("new", kind, "my_second", "--json", folder=tmp_path)
    assert json.loads(again.raw_out)["folder"] == str(tmp_path / "my_second")
    assert "dependencies" not in package["project"]  # weldcache is on no index
    for path in (tmp_path / "my_own").rglob("*.py"):
        compile(path.read_text(), str(path), "exec")
        assert max(map(len, path.read_text().splitlines())) <= 120


def test_what_was_written_can_be_imported_and_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_skeleton("source", "begun_source", parent=tmp_path).folder)
    monkeypatch.syspath_prepend(write_skeleton("recipe", "begun_recipe", parent=tmp_path).folder)
    for day in range(10):
        (tmp_path / "data/good").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"data/good/day{day}_0.txt").write_text("1")
    source = import_module("begun_source.source")
    samples = source.BegunSource(source.BegunSettings(root=tmp_path / "data")).samples()
    assert len(samples) == 10 and {sample.targets["class"] for sample in samples} == {"good"}
    recipe = import_module("begun_recipe.recipe")
    model = recipe.BegunRecipe(recipe.BegunSettings()).build({"image/values": (3,)})
    assert torch.equal(model.mean, torch.zeros(3))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["recipe", "nearest"], "There is a recipe nearest already"),
        (["judge", "json"], "module json is installed already"),
        (["source", "My-Source"], "lower-case letters"),
        (["source", "class"], "no name of a source"),
        (["receipt", "mine"], "Did you mean recipe?"),
    ],
)
def test_names_that_cannot_be(weldcache: Run, tmp_path: Path, arguments: list[str], said: str) -> None:
    outcome = weldcache("new", *arguments, folder=tmp_path)
    assert outcome.code == 2 and said in outcome.err and list(tmp_path.iterdir()) == []


def test_what_is_there_stays(weldcache: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    outcome = weldcache("new", "recipe", "mine", folder=tmp_path)
    assert outcome.code == 2 and "is there already" in outcome.err and list((tmp_path / "mine").iterdir()) == []


@pytest.mark.slow  # a process that imports torch, extracts and fits: 10 s of processor time
def test_the_tests_that_are_written_pass(tmp_path: Path, child_environment: dict[str, str]) -> None:
    folders = [str(write_skeleton(kind, f"own_{kind}", parent=tmp_path).folder) for kind in KINDS]  # type: ignore[arg-type]
    path = os.pathsep.join([*folders, child_environment.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *folders]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**child_environment, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout and "failed" not in done.stdout
