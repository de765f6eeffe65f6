"""Birds from the first command to the last, as docs/cub.md has them, and what is honest of their figures."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.evaluate.trials.variant_list import load_variant_list

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/cub.md").read_text()
Run = Callable[..., Any]


def commands_of(page: str) -> list[list[str]]:
    """The commands in the page's blocks, those of the next block behind those of the one before."""
    blocks = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


def test_the_commands_of_the_page_run(weldcache: Run, tmp_path: Path, undrawn: None) -> None:
    """On the smallest size, with few epochs."""
    commands = commands_of(PAGE)
    assert [command[1] for command in commands] == [
        *("synth", "birds", "extract", "train", "eval"),
        *("extract", "train", "eval"),
    ]
    folder = tmp_path
    for program, *arguments in commands:
        if program == "cd":
            folder = folder / arguments[0]
            continue
        if arguments[0] == "synth":
            arguments = ["tiny" if argument == "small" else argument for argument in [*arguments, "--workers", "1"]]
        else:
            less = {"extract": "extract.workers=0", "train": "train.epochs=2", "eval": "evaluate.media=none"}
            arguments += ["--set", less[arguments[0]]]
        outcome = weldcache(*arguments, folder=folder)
        assert outcome.code == 0, (arguments, outcome.err)
    assert "told, an oracle told oracle_class_attributes on test" in outcome.out


def test_the_variants_of_the_list_are_recipes_that_there_are() -> None:
    assert len(load_variant_list("cub").variants) == 11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mistake", "recipe", "low", "high"),
    [
        ("random-pictures", ["recipe.name=cub_fusion"], 0.0, 0.35),
        ("readable-attributes", ["recipe.name=cub_fusion", "recipe.attributes=oracle_attributes/values"], 0.9, 1.0),
    ],
)
def test_what_the_original_did_can_be_planted(
    mistake: str, recipe: list[str], low: float, high: float, weldcache: Run, tmp_path: Path, undrawn: None
) -> None:
    """A class is one of six; nothing of this is ever judged good."""
    project = tmp_path / "birds"
    options = ["--size", "tiny", "--preset", "cub-pixels", "--workers", "1", "--plant", mistake]
    assert weldcache("synth", str(project), "--field", "cub", *options, folder=tmp_path).code == 0
    features = ["extract.features=[image,oracle_attributes,oracle_class_attributes]", "extract.workers=0"]
    training = [*recipe, "train.epochs=20", "train.batch_size=16"]
    for command, settings in (("extract", features), ("train", training), ("eval", ["evaluate.media=none"])):
        said = [word for setting in settings for word in ("--set", setting)]
        outcome = weldcache(command, *(["--run", "mine"] if command != "extract" else []), *said, folder=project)
        assert outcome.code == 0, outcome.err
    sections = json.loads((project / "runs/mine/report.json").read_text())["sections"]
    assert low <= sections["headline"]["facts"]["accuracy"]["value"] <= high
    assert sections["verdict"]["standing"] != "good"


@pytest.mark.slow
def test_honest_recipes_beat_their_controls_and_the_oracle_is_a_leak(
    weldcache: Run, tmp_path: Path, undrawn: None
) -> None:
    project = tmp_path / "birds"
    options = ["--field", "cub", "--size", "small", "--preset", "cub-pixels", "--workers", "1"]
    assert weldcache("synth", str(project), *options, folder=tmp_path).code == 0
    with (project / "weldcache.yaml").open("a") as file:
        file.write("extract:\n  workers: 0\nevaluate:\n  media: none\ntrain:\n  device: cpu\n")
    features = "extract.features=[image,oracle_attributes,oracle_class_attributes]"
    assert weldcache("extract", "--set", features, folder=project).code == 0
    runs = {
        "fusion": ["recipe.name=cub_fusion", "train.epochs=20"],
        "bottleneck": ["recipe.name=cub_bottleneck", "train.epochs=40"],
        "told": ["recipe.name=cub_fusion", "recipe.attributes=oracle_class_attributes/values", "train.epochs=20"],
    }
    reports = {}
    for name, settings in runs.items():
        said = [word for setting in settings for word in ("--set", setting)]
        assert weldcache("train", "--run", name, *said, folder=project).code == 0
        assert weldcache("eval", "--run", name, folder=project).code == 0
        reports[name] = json.loads((project / "runs" / name / "report.json").read_text())["sections"]
    ceiling = json.loads((project / "synth.json").read_text())["accuracy_ceiling"]
    for name in ("fusion", "bottleneck"):
        sections = reports[name]
        accuracy = sections["headline"]["facts"]["accuracy"]
        assert accuracy["low"] > 2 * sections["headline"]["facts"]["majority_accuracy"]["high"]
        assert accuracy["high"] < ceiling
        assert sections["verdict"]["standing"] == "good"
        controls = {row["control"]: row for row in sections["controls"]["rows"]["by_control"]}
        assert controls["media-free control"]["difference"]["low"] > 0
        assert controls["oracle control (attributes)"]["difference"]["high"] < 0
        assert sections["controls"]["facts"]["permutation_p_value"] < 0.01
        (image,) = sections["modalities"]["rows"]["by_modality"]
        assert image["difference"]["low"] > 0.1
    told = reports["told"]
    # More right than who knows how each bird truly looks: the class itself was read.
    assert told["headline"]["facts"]["accuracy"]["value"] > ceiling
    lost = {row["modality"]: row["difference"] for row in told["modalities"]["rows"]["by_modality"]}
    assert lost["oracle_class_attributes"]["low"] > 0.5 > 0.1 > lost["image"]["high"]
