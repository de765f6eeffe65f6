"""Which rows may be judged: none that training saw, by its key or by its files; and what is said of the others."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.splits import LEFT_OUT
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import LABEL, target_of
from weldcache.cache.writer import StoreWriter
from weldcache.errors import MetricError, NotFoundError
from weldcache.evaluate.judged_rows import JudgedRows, rows_caveats, rows_to_judge, seen_rows
from weldcache.tests.toy import lose
from weldcache.train.data.samples import choose_samples
from weldcache.train.runs.trained_run import load_run
from weldcache.train.tasks import AnomalyTask

Run = Callable[..., Any]
PHOTOGRAPHS = ("image/block_2", "image/block_4")


def redivide(store: FeatureStore, splits: Mapping[str, str]) -> FeatureStore:
    """The store with other splits for some of its keys."""
    changed = np.array([splits.get(key, split) for key, split in zip(store.index.keys, store.index.parts, strict=True)])
    listed = np.flatnonzero(changed != LEFT_OUT)
    store.follow(replace(store.index.select(listed), parts=changed[listed]), relabel=True)
    return FeatureStore.open(store.path)


def give_files_of(store: FeatureStore, row: int, other: int, *, feature_sets: list[str]) -> None:
    """Let a row's features come from the files of another one, as in a copied folder."""
    for name in feature_sets:
        values = {array: store.read(f"{name}/{array}", [other]) for array in store.arrays(name)}
        sources = store.sources(name, [other])
        copied = [tuple(replace(file, path=f"copy/{file.path}") for file in sources[0])]
        StoreWriter(store).write(name, [row], values, sources=copied, notes=[""])


def keys_of(store: FeatureStore, split: str, *, label: int) -> list[str]:
    return store.index.keys[(store.index.parts == split) & (store.index.labels == label)].tolist()


@pytest.fixture
def project(judged: Path, copy_of: Callable[[Path], Path], undrawn: None) -> Path:
    return copy_of(judged)


def chosen(project: Path, split: str) -> JudgedRows:
    store, run = FeatureStore.open(project / "features.zarr"), load_run(project / "runs/first")
    return rows_to_judge(store, split, recipe=run.recipe, task=run.task, seen=seen_rows(run, store))


def report_of(project: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((project / "runs/first/report.json").read_text())["sections"]
    return found


def test_rows_that_training_saw_are_in_no_figure(project: Path, weldcache: Run) -> None:
    """A store divided in another way: training normals in test and in validation, a validation sample in test; then a
    twin of a training normal, and one that shares a file with one; and a training normal that was taken out since."""
    store = FeatureStore.open(project / "features.zarr")
    normals, validated = keys_of(store, "train", label=0), keys_of(store, "val", label=0)
    tested, defects = (keys_of(store, "test", label=label) for label in (0, 1))
    moved = {normals[0]: "test", normals[1]: "test", normals[2]: "val", validated[0]: "test", normals[3]: "left_out"}
    store = redivide(store, moved)
    row_of = store.index.row_of()
    give_files_of(store, row_of[defects[0]], row_of[normals[4]], feature_sets=["video", "audio", "sensor"])
    give_files_of(store, row_of[defects[1]], row_of[normals[5]], feature_sets=["audio"])

    judged, validation = chosen(project, "test"), chosen(project, "val")
    assert set(judged.trained_on) == {normals[0], normals[1]} and judged.validated_on == (validated[0],)
    assert judged.twins == {defects[0]: normals[4]} and judged.sharing == {defects[1]: normals[5]}
    assert set(store.index.keys[judged.usable]) == {*tested, *defects} - {defects[0]}
    assert validation.trained_on == (normals[2],)

    outcome = weldcache("eval", "--run", "first", "-v", folder=project)
    assert outcome.code == 0, outcome.err
    report = report_of(project)
    headline = report["headline"]["facts"]
    assert (headline["num_normal"], headline["num_defect"]) == (4, 10)
    assert report["threshold"]["facts"]["num_validation_normal"] == 3
    with (project / "runs/first/scores_test.csv").open(newline="") as file:
        assert {row["key"] for row in csv.DictReader(file)} == set(store.index.keys[judged.usable])
    heads, page = report["verdict"]["points"], (project / "runs/first/report.html").read_text()
    expected = (
        ("Left out of test, and in no figure: 2 samples that this run was trained on", normals[0]),
        ("Left out of test, and in no figure: 1 sample that chose this run's weights", validated[0]),
        ("Left out of test, and in no figure: 1 sample that training or", f"{defects[0]} = {normals[4]}"),
        ("Left out of val, and in no figure: 1 sample that this run was trained on", normals[2]),
        ("In every figure of test: 1 sample with some files of samples", f"{defects[1]} = {normals[5]}"),
    )
    for text, (start, named) in zip(heads, expected, strict=False):
        assert text.startswith(start) and named in text
        assert start in outcome.out and start.replace("'", "&#39;") in page
    assert any(text.startswith("1 of the 8 samples that this run was trained on is not in the") for text in heads)


def test_where_no_normal_is_left_there_is_no_judgement(project: Path, weldcache: Run) -> None:
    store = FeatureStore.open(project / "features.zarr")
    normals, tested = keys_of(store, "train", label=0), keys_of(store, "test", label=0)
    redivide(store, {**dict.fromkeys(tested, "left_out"), **dict.fromkeys(normals[:3], "test")})
    with pytest.raises(MetricError, match="No normal sample is left of the split test") as refused:
        chosen(project, "test")
    assert normals[0] in str(refused.value)
    outcome = weldcache("eval", "--run", "first", "-v", folder=project)
    assert outcome.code == 2 and "3 samples that this run was trained on" in outcome.err


def test_training_leaves_twins_out_of_validation_and_says_so(project: Path, weldcache: Run) -> None:
    store = FeatureStore.open(project / "features.zarr")
    row_of = store.index.row_of()
    normal, twin = keys_of(store, "train", label=0)[0], keys_of(store, "val", label=1)[0]
    other = keys_of(store, "test", label=1)[0]
    for key in (twin, other):
        give_files_of(store, row_of[key], row_of[normal], feature_sets=["video", "audio", "sensor"])
    recipe = load_run(project / "runs/first").recipe
    samples = choose_samples(store, recipe, task=AnomalyTask(), monitor="val_auroc")
    assert samples.twins == {twin: normal, other: normal}
    assert twin not in store.index.keys[samples.validation] and len(samples.validation) == 14
    outcome = weldcache("train", "--run", "second", "--set", "train.epochs=1", folder=project)
    assert outcome.code == 0, outcome.err
    for split, key in (("val", twin), ("test", other)):
        assert f"1 weld of {split} that train has under other names ({key} = {normal})" in outcome.err


@pytest.fixture(scope="module")
def unphotographed(judged: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """Trained where only the defects of test have photographs."""
    project = Path(shutil.copytree(judged, tmp_path_factory.mktemp("unphotographed") / "project"))
    store = FeatureStore.open(project / "features.zarr")
    rows = np.flatnonzero((store.index.parts != "test") | (store.index.labels == 0)).tolist()
    lose(store, PHOTOGRAPHS, rows)
    outcome = weldcache("train", "--run", "first", "--overwrite", "--set", "train.epochs=1", folder=project)
    assert outcome.code == 0, outcome.err
    assert "Warning: All 8 samples to train on lack image" in outcome.err
    assert "no photographs to predict" in outcome.err
    return project


def test_what_training_never_had_makes_no_score(
    unphotographed: Path, weldcache: Run, tmp_path: Path, undrawn: None
) -> None:
    """The same scores to the last bit as where the defects have no photographs either; one scale, and nobody blamed."""
    outcome = weldcache("eval", "--run", "first", "-v", folder=unphotographed)
    assert outcome.code == 0, outcome.err
    assert "All 8 samples to train on lack image" in outcome.out
    report, scores = report_of(unphotographed), (unphotographed / "runs/first/scores_test.csv").read_bytes()
    headline, hidden = report["headline"]["facts"], report["without_modality"]["rows"]["by_modality"]
    assert "whole_samples" not in headline and {row["modality"] for row in hidden} == {"video", "audio", "sensor"}
    assert not any("scale" in text or "lack image;" in text for text in report["verdict"]["points"])
    project = Path(shutil.copytree(unphotographed, tmp_path / "project"))
    store = FeatureStore.open(project / "features.zarr")
    lose(store, PHOTOGRAPHS, range(len(store.index)))
    outcome = weldcache("eval", "--run", "first", "-v", folder=project)
    assert outcome.code == 0, outcome.err
    assert (project / "runs/first/scores_test.csv").read_bytes() == scores
    found = report_of(project)
    assert found["headline"]["facts"]["auroc"] == headline["auroc"]
    assert "whole_samples" not in found["headline"]["facts"]
    assert not any("scale" in text for text in found["verdict"]["points"])


def test_who_has_only_what_training_never_had_has_nothing(unphotographed: Path, tmp_path: Path) -> None:
    project = Path(shutil.copytree(unphotographed, tmp_path / "project"))
    store = FeatureStore.open(project / "features.zarr")
    key = keys_of(store, "test", label=1)[0]
    lose(store, ("video", "audio", "sensor"), [store.index.row_of()[key]])
    judged = chosen(project, "test")
    assert judged.num_lacking == 1 and key not in store.index.keys[judged.usable]


def test_one_modality_alone_teaches_causal_film_nothing(project: Path) -> None:
    store, run = FeatureStore.open(project / "features.zarr"), load_run(project / "runs/first")
    recipe = run.recipe
    everybody = range(len(store.index))
    lose(store, (*PHOTOGRAPHS, "video"), everybody)
    assert choose_samples(store, recipe, task=AnomalyTask(), monitor="val_auroc").untrained == {"image", "video"}
    lose(store, ["audio"], everybody)
    with pytest.raises(NotFoundError, match="sensor alone: Causal-FiLM predicts photographs"):
        choose_samples(store, recipe, task=AnomalyTask(), monitor="val_auroc")


def test_what_is_not_known_is_in_no_figure_and_counted(project: Path) -> None:
    store = FeatureStore.open(project / "features.zarr")
    tested = chosen(project, "test").usable[-1]
    labels = [None if row == tested else int(label) for row, label in enumerate(store.index.labels)]
    label = target_of(LABEL, labels, keys=store.index.keys.tolist())
    store.follow(replace(store.index, targets={**store.index.targets, "label": label}), relabel=True)
    judged = chosen(project, "test")
    assert tested not in judged.usable and (judged.num_unknown, judged.num_left_out) == (1, 1)
    assert "1 sample of which it is not known" in " ".join(rows_caveats(judged, judged, split="test"))
