"""`weldcache compare`: runs held against each other on the samples that both were judged on."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture(scope="module")
def project(judged: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """Runs `first`, which is judged, and `near`, which is not; and one of a list. Not to be changed."""
    folder = tmp_path_factory.mktemp("compare") / "project"
    shutil.copytree(judged, folder)
    near = ["--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values"]
    assert weldcache("train", "--run", "near", *near, folder=folder).code == 0
    listed = ["--set", "runs.folder=runs/list", "--set", "recipe.k=2"]
    assert weldcache("train", "--run", "near-seed0", *near, *listed, folder=folder).code == 0
    return folder


def parsed(outcome: Any) -> Any:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.raw_out)


def test_runs_are_paired_and_the_settings_in_which_they_differ_are_shown(weldcache: Run, project: Path) -> None:
    brief = weldcache("compare", "first", "near", folder=project)
    assert brief.code == 0 and "near on test" in brief.err and "scored now" in brief.err, brief.err
    assert len(brief.raw_out.splitlines()) <= 10 and " is better than " in brief.out.partition(":")[0]
    assert re.search(r"less (first|near) [+-]\d\.\d{3} \([+-]\d\.\d{3} to [+-]\d\.\d{3}\), p \(Holm\)", brief.out)
    assert "differs: recipe.name" in brief.out and "by class" not in brief.out
    outcome = weldcache("compare", "first", "near", "-v", folder=project)
    assert outcome.code == 0 and outcome.raw_out.startswith(brief.raw_out.partition("\n")[0])
    for said in ("less the first", "p (Holm)", "tie with", "by class", "settings that differ", "recipe.name"):
        assert said in outcome.out, said


def test_the_scores_of_an_evaluation_are_those_that_are_made_now(
    weldcache: Run, project: Path, runs_of: Callable[[Path], Path], undrawn: None
) -> None:
    folder = runs_of(project)
    before = parsed(weldcache("compare", "first", "near", "list/near-seed0", "--json", folder=folder))
    assert before["paired"]["scored_now"] == ["near", "list/near-seed0"] and before["refused"] is None
    assert before["figures"]["test_auroc"][1:] == [None, None]
    assert before["settings"]["recipe.name"] == ["causal_film", "nearest", "nearest"]
    assert "train.epochs" not in before["settings"]  # which a fitted run does not read
    assert weldcache("eval", "--run", "near", folder=folder).code == 0
    after = parsed(weldcache("compare", "first", "near", "list/near-seed0", "--json", folder=folder))
    assert after["paired"]["scored_now"] == ["list/near-seed0"]
    for name in ("ranking", "pairs", "num_samples", "figure", "split"):
        assert after["paired"][name] == before["paired"][name]
    reached = {
        run: figure["value"]
        for run, figure in zip(after["runs"], after["figures"]["test_auroc"], strict=True)
        if figure
    }
    ranked = {each["run"]: each["figure"]["value"] for each in after["paired"]["ranking"]}
    assert reached == {run: ranked[run] for run in ("first", "near")}


def test_edited_scores_are_not_compared(
    weldcache: Run, project: Path, runs_of: Callable[[Path], Path], contents: Contents
) -> None:
    folder = runs_of(project)
    scores = folder / "runs/first/scores_test.csv"
    scores.write_text(scores.read_text().replace(",0.", ",1.", 1) + "\n")
    before = contents(folder / "runs/first")
    outcome = weldcache("compare", "first", "near", folder=folder)
    assert outcome.code == 1 and "scores_test.csv" in outcome.err and "weldcache eval first" in outcome.err
    assert "recipe.name" in outcome.out and "by class" not in outcome.out
    assert contents(folder / "runs/first") == before


def test_runs_on_other_splits_are_shown_and_not_paired(
    weldcache: Run, project: Path, linked_copy_of: Callable[[Path], Path], undrawn: None
) -> None:
    folder = linked_copy_of(project)
    divide = weldcache("split", "mine", folder=folder)
    assert divide.code == 0, divide.err
    near = ["--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values", "--set", "train.split=mine"]
    outcome = weldcache("train", "--run", "other", *near, folder=folder)
    assert outcome.code == 0, outcome.err
    outcome = weldcache("compare", "near", "other", "--json", folder=folder)
    document = json.loads(outcome.raw_out)
    assert outcome.code == 2 and document["paired"] is None
    assert "official" in document["refused"] and "mine (" in document["refused"]
    assert document["settings"]["train.split"] == ["official", "mine"]


@pytest.mark.parametrize(
    ("names", "said"),
    [(["first", "nearr"], "Did you mean near?"), (["first"], "two or more"), (["first", "first"], "two or more")],
)
def test_what_is_not_there_is_a_sentence(weldcache: Run, project: Path, names: list[str], said: str) -> None:
    outcome = weldcache("compare", *names, folder=project)
    assert outcome.code == 2 and outcome.out == "" and said in outcome.err


def test_a_damaged_run_is_shown_as_far_as_it_can_be_read(
    weldcache: Run, project: Path, runs_of: Callable[[Path], Path]
) -> None:
    folder = runs_of(project)
    (folder / "runs/near/manifest.json").write_text("{")
    outcome = weldcache("compare", "first", "near", folder=folder)
    assert outcome.code == 1 and "manifest.json is damaged" in outcome.out and "manifest.json" in outcome.err
