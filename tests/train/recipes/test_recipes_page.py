"""docs/recipes.md is true: every recipe is listed, and the one that it shows is trained, judged and benched."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from weldcache.tests import test_plugins as plugins
from weldcache.tests.evaluate.trials import conftest as trials
from weldcache.tests.test_docs import ROOT, blocks, first_words, section, words_of
from weldcache.train.recipes import recipe as interfaces
from weldcache.train.recipes.recipe import Fitted, Measured, Recipe, Trained
from weldcache.train.settings import RECIPES

offer = plugins.offer
toy_store_path = trials.toy_store_path
project = trials.project

PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
SHOWN = section(PAGE, "## One that is trained")
RECIPE, CONTRACT = blocks(SHOWN, "python")


def _printed_contract() -> Any:
    """The page's class of tests, which imports the page's recipe by the name of its file."""
    made, tests = ModuleType("deep_svdd"), ModuleType("test_deep_svdd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, made.__name__, made)
        exec(RECIPE, vars(made))
        exec(CONTRACT, vars(tests))
    return tests.TestDeepSvdd


TestDeepSvdd = _printed_contract()


def _first_cells(table: str) -> list[str]:
    """The name in the first cell of each row."""
    return re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)


def test_every_recipe_is_listed_once_and_described_where_the_list_says() -> None:
    table = section(PAGE, "## All recipes")
    assert sorted(_first_cells(table)) == sorted(RECIPES.names)
    for name, page in re.findall(r"^\| `(\w+)` \|.*\]\(([\w-]+\.md)", table, re.MULTILINE):
        assert f"`{name}`" in (ROOT / "docs" / page).read_text(encoding="utf-8"), name


def test_the_interface_and_what_recipes_may_have_beside_are_those_of_the_code() -> None:
    text = section(PAGE, "## What a recipe is")
    (methods,) = blocks(text, "text")
    offered = [name for kind in (Recipe, Measured, Trained, Fitted) for name in vars(kind) if not name.startswith("_")]
    assert [name.partition("(")[0] for name in first_words(methods)] == offered
    protocols = {
        name
        for name, found in vars(interfaces).items()
        if getattr(found, "_is_protocol", False) and found.__module__ == interfaces.__name__
    }
    asked_of_all = {kind.__name__ for kind in (Recipe, Measured, Trained, Fitted)}
    assert sorted(_first_cells(text)) == sorted(protocols - asked_of_all | {"Referenced"})


def test_a_recipe_of_ones_own_is_trained_judged_and_benched_as_the_page_says(
    project: Path,
    toy_store_path: Path,
    tmp_path: Path,
    offer: Callable[..., None],
    weldcache: Callable[..., Any],
) -> None:
    (points,) = blocks(SHOWN, "toml")
    group, *lines = points.splitlines()
    offer("deep-svdd", group.split('"')[1], *(line.replace('"', "") for line in lines))
    (tmp_path / "site" / "deep_svdd.py").write_text(RECIPE)
    settings, variants = blocks(SHOWN, "yaml")
    (project / "weldcache.yaml").write_text(f"{settings}cache: {{path: {toy_store_path}}}\n")
    (project / "own.yaml").write_text(variants)
    (commands,) = blocks(SHOWN, "sh")
    for line in commands.splitlines():
        ((_, *words),) = words_of(line)
        outcome = weldcache(*words, "--set", "train.device=cpu", folder=project)
        assert outcome.code == 0, outcome.err
    log = [json.loads(line) for line in (project / "runs/deep_svdd-001/metrics.jsonl").read_text().splitlines()]
    assert log[-1]["val_loss"] < log[0]["val_loss"] and log[-1]["code_effective_rank"] > 1
    assert (project / "runs/deep_svdd-001/report.html").is_file()
    assert len(list(project.rglob("trial_test.json"))) == 4
    assert "deep_svdd" in outcome.out and "gaussian" in outcome.out
