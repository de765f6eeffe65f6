"""`weldcache bench`: what it prints, where the table goes, and how it exits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]

LIST = """# Does the gate matter?
seeds: [0]
set: {train.epochs: 1, recipe.d_model: 8, recipe.hidden_width: 8, recipe.sensor_hidden: 4}
variants:
  as set: {}
  no gate: {set: {recipe.gate: false}}
"""


@pytest.fixture
def project(extracted: Path, runs_of: Callable[[Path], Path]) -> Path:
    project = runs_of(extracted)
    (project / "gate.yaml").write_text(LIST)
    return project


def test_without_a_list_the_shipped_ones_are_shown(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("bench", folder=tmp_path)
    assert outcome.code == 0
    for name in ("architecture", "augmentation", "blocks", "collapse", "losses", "optimisation", "pooling", "presets"):
        assert f"{name} " in outcome.out
    assert "Which blocks of the image backbone" in outcome.out


def test_the_variants_of_lists_are_named(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("bench", "--list", folder=tmp_path)
    assert outcome.code == 0
    lines = outcome.raw_out.splitlines()
    assert "  nearest on photographs" in lines and "  no gate" in lines
    told = json.loads(weldcache("bench", "field", "--list", "--json", folder=tmp_path).raw_out)["lists"]
    assert told.keys() == {"field"} and len(told["field"]["variants"]) >= 25
    assert len({name.partition(" ")[0] for name in told["field"]["variants"]}) >= 10  # recipes
    assert weldcache("bench", "feild", "--list", folder=tmp_path).code == 2


def test_a_table_and_the_same_again_as_json(weldcache: Run, project: Path) -> None:
    outcome = weldcache("bench", "gate.yaml", folder=project)
    assert outcome.code == 0, outcome.err
    for part in ("gate on test: Does the gate matter?", " as set 0.", " no gate 0.", "media-free control"):
        assert part in outcome.out, part
    assert f"Table and trials: {project / 'runs/gate'}" in outcome.out
    assert "no gate, seed 0: test AUROC" in outcome.err
    again = weldcache("bench", "gate.yaml", "--json", folder=project)
    assert again.code == 0 and "seed 0: test AUROC" not in again.err
    document = json.loads(again.raw_out)
    assert document.items() <= json.loads((project / "runs/gate/table_test.json").read_text()).items()
    assert document["command"] == "weldcache bench gate.yaml --json"
    (table,) = document["leaderboards"]
    assert document["schema_version"] == 2 and {each["name"] for each in table["variants"]} == {"as set", "no gate"}
    assert "</html>" in (project / "runs/gate/table_test.html").read_text()
    shown = weldcache("eval", "--run", "gate/no_gate-seed0", folder=project)
    assert shown.code == 2 and "its weights were deleted" in shown.err and "--keep-weights" in shown.err
    listed = weldcache("runs", "list", "--all", folder=project)
    assert listed.out.count("weights deleted") == 2


def test_a_variant_that_cannot_be_tried_exits_one_and_the_others_are_in_the_table(
    weldcache: Run, project: Path
) -> None:
    """A pipe gets names and figures whole."""
    name = "a variant whose name says at some length what is different about it " * 2
    more = "  block 9: {set: {recipe.blocks: [9]}}\n"
    (project / "gate.yaml").write_text(LIST.replace("as set", name.strip()) + more)
    outcome = weldcache("bench", "gate.yaml", folder=project)
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert "block 9 failed" in outcome.out and "no features image/block_9" in outcome.out
    assert "no gate 0." in outcome.out
    assert "features.image.blocks=[2,4,9]" in outcome.err
    (row,) = (line for line in outcome.raw_out.splitlines() if "a variant whose" in line and line.strip()[0].isdigit())
    (document,) = json.loads((project / "runs/gate/table_test.json").read_text())["leaderboards"]
    (figures,) = (each for each in document["variants"] if each["name"] == name.strip())
    assert name.strip() in row and f"{figures['auroc']['value']:.3f}" in row and "…" not in outcome.raw_out
    assert f"{figures['auroc']['low']:.3f} to {figures['auroc']['high']:.3f}" in outcome.raw_out
    assert all(note in outcome.raw_out for note in document["notes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bloks"], "Did you mean blocks?"),
        (["blocks", "--seeds", "0,0"], "expected different whole numbers"),
        (["blocks", "--set", "train.seed=1"], "--seeds 0,1,2"),
        (["blocks", "--set", "train.lrr=1"], "Did you mean train.lr?"),
        (["gate.yaml", "--cache", "nowhere.zarr"], "weldcache extract"),
    ],
)
def test_bad_input_is_refused_in_words(weldcache: Run, project: Path, arguments: list[str], said: str) -> None:
    outcome = weldcache("bench", *arguments, folder=project)
    assert outcome.code == 2 and outcome.out == "" and "Traceback" not in outcome.err
    assert said in outcome.err
    assert not (project / "runs").exists()
