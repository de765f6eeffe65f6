"""`weldcache split` makes splits of a store, prints what was dealt where, and refuses what cannot be dealt."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.splits import LEFT_OUT
from weldcache.cache.store import FeatureStore
from weldcache.tests.toy import index_of


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A store of ten sessions, two of them of defects; the last row has no label."""
    rows = range(40)
    index = index_of(
        keys=[f"{row:02d}" for row in rows],
        splits=["train"] * 40,
        groups=[f"session {row // 4}" for row in rows],
        class_names=["crack" if row < 8 else "good" for row in rows],
        labels=[*(int(row < 8) for row in rows[:-1]), -1],
        attributes={"MACHINE": ["AB"[row // 4 % 2] for row in rows]},
    )
    FeatureStore.create(tmp_path / "features.zarr", index=index)
    return tmp_path


def test_a_split_is_made_and_told(weldcache: Callable[..., Any], project: Path) -> None:
    outcome = weldcache("split", "mine", "--seed", "3", folder=project)
    assert outcome.code == 0 and all(
        word in outcome.out for word in ("mine", "train", "val", "test", "groups", "unknown")
    )
    store = FeatureStore.open(project / "features.zarr")
    assert store.splits()["mine"].hash_of(store.index.keys)[:8] in outcome.out
    assert "mine" in weldcache("info", folder=project).out

    assert weldcache("split", "mine", folder=project).code == 2
    replaced = weldcache("split", "mine", "--overwrite", "--json", folder=project)
    assert replaced.code == 0 and list(json.loads(replaced.raw_out)["splits"]) == ["mine"]
    assert weldcache("split", "fold", "--folds", "3", folder=project).code == 0
    assert list(FeatureStore.open(store.path).splits()) == ["official", "fold_1", "fold_2", "fold_3", "mine"]


def test_rows_of_another_value_take_no_part(weldcache: Callable[..., Any], project: Path) -> None:
    outcome = weldcache("split", "a", "--only", "MACHINE=A", "--only", "class=good", folder=project)
    assert outcome.code == 0, outcome.err
    store = FeatureStore.open(project / "features.zarr", split="a")
    dealt = store.index.parts != LEFT_OUT
    assert set(store.index.attributes["MACHINE"][dealt]) == {"A"} and set(store.index.labels[dealt]) == {0}
    assert store.splits()["a"].made_by["only"] == ["MACHINE=A", "class=good"]


def test_values_are_chosen_and_torn_groups_are_told(weldcache: Callable[..., Any], project: Path) -> None:
    outcome = weldcache("split", "b", "--by", "MACHINE", "--test-value", "B", folder=project)
    assert outcome.code == 0 and "several parts" not in outcome.out
    torn = weldcache("split", "cracks", "--by", "class", "--test-value", "crack", "--val", "0", folder=project)
    assert torn.code == 0
    told = weldcache("info", folder=project)
    assert ("several parts of the split cracks" in told.out) == ("several parts" in torn.out)
    assert (
        FeatureStore.open(project / "features.zarr", split="cracks").index.parts.tolist()
        == ["test"] * 8 + ["train"] * 32
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["official"],
        ["Mine"],
        ["mine", "--by", "COLOUR"],
        ["mine", "--folds", "2"],
        ["mine", "--val", "1"],
        ["mine", "--only", "MACHINE"],
        ["mine", "--only", "MACHINE=C"],
        ["mine", "--only", "MACHINE=A", "--only", "MACHINE=B"],
    ],
)
def test_what_cannot_be_dealt_exits_with_2(weldcache: Callable[..., Any], project: Path, arguments: list[str]) -> None:
    outcome = weldcache("split", *arguments, folder=project)
    assert outcome.code == 2 and outcome.err and "fault of weldcache" not in outcome.err


def test_a_run_is_trained_and_judged_by_the_split_that_its_settings_name(
    weldcache: Callable[..., Any], extracted: Path, copy_of: Callable[[Path], Path], undrawn: None
) -> None:
    project = copy_of(extracted)
    fitted = ("--set", "recipe.name=nearest", "--set", "recipe.array=sensor/values")
    train = ("train", "--set", "train.split=mine", *fitted, "--run", "mine")
    refused = weldcache(*train, folder=project)
    assert refused.code == 2 and "weldcache split mine" in refused.err
    for command in (("split", "mine", "--seed", "4"), train, ("eval", "--run", "mine")):
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
    store = FeatureStore.open(project / "features.zarr", split="mine")
    with (project / "runs/mine/scores_test.csv").open(newline="") as file:
        judged = {row["key"] for row in csv.DictReader(file)}
    assert judged == set(store.index.keys[store.index.parts == "test"].tolist())
    assert f"the split mine (hash {store.split_hash[:8]})" in (project / "runs/mine/report.json").read_text()
    assert weldcache("split", "mine", "--seed", "5", "--overwrite", folder=project).code == 0
    other = weldcache("eval", "--run", "mine", folder=project)
    assert other.code == 2 and "mine" in other.err and store.split_hash[:8] in other.err
