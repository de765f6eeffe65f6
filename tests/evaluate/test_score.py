"""New samples, in no store and without a label: scores as `eval` gives them, from files, folders and manifests."""

import csv
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from weldcache import api
from weldcache.evaluate.score_lines import Tally
from weldcache.evaluate.watch import WatchState, watch_folder
from weldcache.train.runs.trained_run import load_run

pytestmark = pytest.mark.usefixtures("undrawn")

Run = Callable[..., Any]

RUNS = {
    "gaussian": ["--set", "recipe.name=gaussian"],
    "nearest": ["--set", "recipe.name=nearest", "--set", "recipe.array=image/block_4/mean"],
}
JOINED = """
recipe:
  name: match_fusion
  folds: 2
  members:
    film: {name: gaussian, array: video/embedding}
    pictures: {name: gaussian, array: image/block_4/mean}
    match: {name: match, process: [video/embedding], result: [image/block_4/mean], folds: 2}
"""


@pytest.fixture(scope="module")
def project(judged: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """A project with the data and four kinds of runs, judged on test, and without its store."""
    folder = tmp_path_factory.mktemp("scored") / "project"
    folder.mkdir()
    for path in judged.iterdir():
        if path.name != "runs":
            (folder / path.name).symlink_to(path)
    shutil.copytree(judged / "runs" / "first", folder / "runs" / "first")
    (folder / "joined.yaml").write_text(JOINED)
    commands = [["train", "--run", name, *chosen] for name, chosen in RUNS.items()]
    commands += [["train", "--run", "joined", "--config", "joined.yaml"], ["fuse", "--run", "fused", *RUNS]]
    commands += [["eval", "--run", name] for name in ("first", "gaussian", "joined", "fused")]
    for command in commands:
        outcome = weldcache(*command, folder=folder)
        assert outcome.code == 0, outcome.err
    (folder / "features.zarr").unlink()
    return folder


@pytest.fixture
def inbox(synthetic: Path, weld_keys: Callable[..., list[str]], tmp_path: Path) -> Path:
    """The test welds, with a manifest that says no more than where they are."""
    folder, keys = tmp_path / "inbox", weld_keys(synthetic, "test")
    for key in keys:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(synthetic / key, folder / key)
    (folder / "manifest.csv").write_text("SUBDIRS\n" + "".join(f"{key}\n" for key in keys))
    return folder


def _scores(project: Path, run: str) -> dict[str, dict[str, str]]:
    """What `eval` says of each test sample."""
    with (project / "runs" / run / "scores_test.csv").open(newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def _rows(outcome: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(outcome.raw_out.splitlines()))


@pytest.mark.parametrize("run", ["first", "gaussian", "joined", "fused"])
def test_scores_are_those_of_eval_to_the_last_bit(weldcache: Run, project: Path, inbox: Path, run: str) -> None:
    outcome = weldcache("score", str(inbox), "--run", run, folder=project)
    assert outcome.code == 0, outcome.err
    judged, rows = _scores(project, run), _rows(outcome)
    assert [row["key"] for row in rows] == list(judged)
    for row in rows:
        assert {name: row[name] for name in ("score", "threshold", "alarm", "lacks")} == {
            name: judged[row["key"]][name] for name in ("score", "threshold", "alarm", "lacks")
        }
        assert row["problem"] == ""
