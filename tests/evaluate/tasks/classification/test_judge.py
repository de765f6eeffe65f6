"""A classifier is judged beside always giving the most frequent class, through the same engine as a detector."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.row_tables import replace_tables
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import Target
from weldcache.errors import MetricError
from weldcache.evaluate.exhibits import SampleTable
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.classification.figures import assess_classes
from weldcache.evaluate.tasks.classification.judge import ClassificationJudge
from weldcache.evaluate.tasks.classification.samples import sample_sections
from weldcache.evaluate.tasks.classification.sections import class_sections
from weldcache.metrics.estimate import Estimate
from weldcache.testing.judges import JudgeContract
from weldcache.train.runs.folder import RunFolder

NAMES = ["crack", "good", "pore"]
TRAINING = Section("training", "Training")


def test_figures_by_hand() -> None:
    true, predicted = np.array([1, 1, 1, 1, 0, 2]), np.array([1, 1, 1, 0, 0, 1])
    found = assess_classes(true, predicted, train=np.array([1, 1, 0]), names=NAMES, groups=[""] * len(true))
    assert found.accuracy.value == found.majority.value == 4 / 6 and found.majority_class == "good"
    assert found.confusion.tolist() == [[1, 0, 0], [1, 3, 0], [0, 1, 0]]
    assert found.by_class["good"].num == 4 and found.by_class["pore"].f1 == 0
    assert found.balanced_accuracy == pytest.approx((1 + 3 / 4 + 0) / 3)
    assert found.majority_f1 == pytest.approx((0 + 0.8 + 0) / 3)


@pytest.mark.parametrize(("num_right", "standing"), [(100, "good"), (56, "doubtful"), (30, "bad")])
def test_the_verdict_is_against_always_answering_the_most_frequent_class(num_right: int, standing: str) -> None:
    true = np.repeat([0, 1], 50)
    predicted = np.where(np.arange(100) < num_right, true, 1 - true)
    found = assess_classes(true, predicted, train=np.array([1]), names=NAMES, groups=[""] * len(true))
    verdict = next(part for part in class_sections(found, warnings=(), training=TRAINING) if part.id == "verdict")
    assert verdict.standing == standing


def test_of_many_classes_people_see_what_is_worth_a_look_and_programs_all() -> None:
    true = np.repeat(np.arange(200), 10)
    predicted = np.where(np.arange(2000) % 10 < 1 + true // 25, true, (true + 1) % 200)
    predicted[true == 7] = 9
    names = [f"kind {number}" for number in range(200)]
    found = assess_classes(true, predicted, train=true, names=names, groups=[""] * len(true))
    sections = {part.id: part for part in class_sections(found, warnings=(), training=TRAINING)}
    classes = {rows.id: rows for rows in sections["by_class"].rows}
    assert len(classes["by_class"].values) == 200 and classes["by_class"].detail
    found_of = {str(row[0]): row[2] for row in classes["found_least_and_most"].values}
    shares = [each.value for each in found_of.values() if isinstance(each, Estimate)]
    assert len(shares) == 24 and shares == sorted(shares) and shares[::12] == [0.0, 0.8]
    confused, counts = sections["confusion"].rows
    assert next(iter(confused.values)) == ("kind 7", "kind 9", 10, 1.0)
    assert len(counts.values) == 200 and not counts.shown and len(counts.columns) == 201
    few = assess_classes(true[:200], predicted[:200], train=true, names=names, groups=[""] * 200)
    (table,) = next(part for part in class_sections(few, warnings=(), training=TRAINING) if part.id == "confusion").rows
    assert table.shown


def test_the_table_of_samples_tells_groups_where_samples_share_some() -> None:
    true, shares, score = np.array([0, 1, 1]), np.eye(3)[[0, 1, 0]], np.zeros(3)
    for groups, told in ((("a", "a", "b"), True), (("a", "b", "c"), False)):
        table = ScoreTable(
            keys=("x", "y", "z"),
            parts=("test",) * 3,
            class_names=("crack", "good", "good"),
            groups=groups,
            labels=true,
            scores=score,
            raw_scores=None,
            lacks=("",) * 3,
            scales=("whole",) * 3,
            attributes={},
        )
        (samples,) = sample_sections(table, true, shares, NAMES)[1].exhibits
        assert isinstance(samples, SampleTable) and samples.column("outcome") == ["right", "right", "wrong"]
        assert ([column.id for column in samples.columns][-1] == "group") == told


def test_no_samples() -> None:
    nothing = np.empty(0, dtype=np.int64)
    with pytest.raises(MetricError, match="no samples"):
        assess_classes(nothing, nothing, train=np.array([0]), names=NAMES, groups=[])


@pytest.fixture(scope="module")
def probed(extracted: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Callable[..., Any]) -> Path:
    """A project with the trained run `probe`, which is not judged. Not to be changed."""
    folder = tmp_path_factory.mktemp("probed") / "project"
    folder.mkdir()
    for path in extracted.iterdir():
        (folder / path.name).symlink_to(path)
    options = ["--set", "recipe.name=linear_probe", "--set", "train.task=classification"]
    assert weldcache("train", "--run", "probe", *options, folder=folder).code == 0
    return folder


class TestContract(JudgeContract):
    def judge(self) -> ClassificationJudge:
        return ClassificationJudge()

    @pytest.fixture
    def run(self, probed: Path, runs_of: Callable[[Path], Path]) -> Path:
        return runs_of(probed) / "runs/probe"


def test_a_split_that_trains_on_normals_alone_gives_the_majority_and_says_so(
    judged: Path,
    runs_of: Callable[[Path], Path],
    weldcache: Callable[..., Any],
    facts_of: Callable[[Path], dict[str, Any]],
    undrawn: None,
) -> None:
    project = runs_of(judged)
    options = ["--set", "recipe.name=linear_probe", "--set", "train.task=classification"]
    outcome = weldcache("train", "--run", "probe", *options, folder=project)
    assert outcome.code == 0 and "No training sample is of class" in outcome.err, outcome.err
    outcome = weldcache("eval", "--run", "probe", folder=project)
    assert outcome.code == 0, outcome.err
    run, store = project / "runs/probe", FeatureStore.open(project / "features.zarr")
    kept, facts = json.loads((run / "calibration.json").read_text()), facts_of(run / "report.json")
    assert kept["classes"] == list(store.index.targets["class"].spec.classes or ())
    with (run / "scores_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == facts["num_samples"] == 15
    group_of = dict(zip(store.index.keys.tolist(), store.index.groups.tolist(), strict=True))
    assert [row["group"] for row in rows] == [group_of[row["key"]] for row in rows]
    assert facts["accuracy"]["value"] == np.mean([row["predicted"] == row["class_name"] for row in rows])
    assert facts["majority_accuracy"]["value"] == np.mean([row["class_name"] == "good" for row in rows])
    assert "Majority control" in (run / "report.html").read_text()
    beside = json.loads((run / "report.json").read_text())["sections"]["controls"]
    settings, _, group = beside["rows"]["by_control"]
    # All training samples are good, so the nearest is; groups of defects of validation are known.
    assert settings["accuracy"]["value"] == facts["majority_accuracy"]["value"]
    assert group["accuracy"]["value"] >= settings["accuracy"]["value"]
    assert 0 < facts["permutation_p_value"] <= 1
    assert "No training sample is of" in outcome.out

    refused = weldcache("fuse", "first", "probe", "--run", "both", folder=project)
    assert refused.code == 2 and "probe" in refused.err and "classification" in refused.err

    folder = RunFolder(run)
    others = {**kept, "classes": [*kept["classes"][:-1], "zz"], "rests_on": {**kept["rests_on"], "epoch": 999}}
    folder.write(folder.calibration_path, others)
    refused = weldcache("eval", "--run", "probe", folder=project)
    assert refused.code != 0 and "classes" in refused.err and "train again" in refused.err


def test_a_split_with_all_classes_in_train_is_made_trained_on_and_judged(
    extracted: Path,
    copy_of: Callable[[Path], Path],
    weldcache: Callable[..., Any],
    facts_of: Callable[[Path], dict[str, Any]],
    undrawn: None,
) -> None:
    project = copy_of(extracted)
    probe = ("recipe.name=linear_probe", "recipe.array=image/block_4/mean", "recipe.class_weights=balanced")
    trained = ("train.task=classification", "train.split=classes", "train.monitor=val_macro_f1", "train.lr=0.05")
    options = [argument for setting in (*probe, *trained) for argument in ("--set", setting)]
    for command in (
        ["split", "classes", "--stratify", "class"],
        ["train", "--run", "probe", *options],
        ["eval", "--run", "probe", "-v"],
    ):
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
    assert "as normal" not in outcome.out and "the split classes" in outcome.out
    store = FeatureStore.open(project / "features.zarr", split="classes")
    classes, splits = store.index.class_names, store.index.parts
    assert len(set(classes[splits == "train"].tolist())) > 2
    with (project / "runs/probe/scores_test.csv").open(newline="") as file:
        judged = {row["key"]: row for row in csv.DictReader(file)}
    facts = facts_of(project / "runs/probe/report.json")
    assert judged.keys() <= set(store.index.keys[splits == "test"].tolist()) and facts["num_samples"] == len(judged)
    assert facts["accuracy"]["value"] == np.mean([row["predicted"] == row["class_name"] for row in judged.values()])
    assert len({row["predicted"] for row in judged.values()}) > 1
    report = json.loads((project / "runs/probe/report.json").read_text())["sections"]["calibration"]
    temperature = json.loads((project / "runs/probe/calibration.json").read_text())["temperature"]
    as_predicted, cooled = report["rows"]["probabilities"]
    assert temperature > 0 and as_predicted.keys() == cooled.keys() and report["rows"]["reliability"]
    surer = {float(row["calibrated_confidence"]) > float(row["confidence"]) for row in judged.values()}
    assert surer == {temperature < 1}

    run, target = RunFolder(project / "runs/probe"), store.index.targets["class"]
    names = target.spec.classes or ()
    assert run.manifest()["classes"] == {"class": list(names)}
    run.calibration_path.unlink()
    spec, codes = replace(target.spec, classes=names[::-1]), len(names) - 1 - target.values
    targets = {**store.index.targets, "class": Target(spec, lambda: (codes, None), len(codes))}
    official = FeatureStore.open(store.path)
    made = [split for name, split in store.splits().items() if name == "classes"]
    replace_tables(store.path, replace(official.index, targets=targets), made)
    outcome = weldcache("eval", "--run", "probe", folder=project)
    assert outcome.code == 2 and not run.calibration_path.exists()
    assert all(told in outcome.err for told in (str(run.path), "features.zarr", *names, "train again"))
