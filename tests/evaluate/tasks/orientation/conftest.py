"""A project with tiny shapes, their store and a run, made by the commands of docs/modelnet.md."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).resolve().parents[4] / "docs" / "modelnet.md").read_text(encoding="utf-8")
SMALLER = {
    "extract": (
        *("features.cloud.num_points=96", "features.cloud.surface_points=192", "features.cloud.centres=[32,8]"),
        *("features.cloud.radii=[0.4,0.8]", "features.cloud.neighbours=[8,8]", "extract.workers=0"),
    ),
    "train": ("train.epochs=2", "recipe.width=8"),
    "eval": ("evaluate.media=none",),
}


def run_page(folder: Path, weldcache: Callable[..., Any]) -> str:
    """The first commands of the page, word for word but on the smallest data; returns what they print."""
    printed = ""
    block = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)[0]
    for program, *arguments in map(str.split, block.splitlines()):
        if program == "cd":
            folder = folder / arguments[0]
            continue
        words = ["tiny" if word == "small" else word for word in arguments]
        smaller = [word for setting in SMALLER.get(arguments[0], ()) for word in ("--set", setting)]
        outcome = weldcache(*words, *smaller, folder=folder)
        assert outcome.code == 0, outcome.err
        printed += outcome.out + outcome.err
    return printed


@pytest.fixture(scope="session")
def oriented(made_once: Callable[..., Path], weldcache: Callable[..., Any]) -> Path:
    """The project, with `printed.txt` beside its folder. Not to be changed."""

    def fill(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "printed.txt").write_text(run_page(folder, weldcache))

    return made_once("oriented", fill)
