"""Controls: the media-free distance by hand and against a plain reading of its definition, and when there is none."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.scores import ScoreTable, score_table
from weldcache.evaluate.tasks.anomaly.controls.chance import majority_accuracy, random_control
from weldcache.evaluate.tasks.anomaly.controls.files import file_metadata
from weldcache.evaluate.tasks.anomaly.controls.nearest import (
    file_metadata_control,
    media_free_control,
    nearest_train_distances,
)
from weldcache.train.runs.trained_run import load_run


def _slow_distances(attributes: Mapping[str, np.ndarray], *, train: Mapping[str, np.ndarray]) -> np.ndarray:
    """The definition row by row: a differing category is two ones apart, so 2 in the square."""
    distances = []
    for row in range(len(next(iter(attributes.values())))):
        squares = np.zeros(len(next(iter(train.values()))))
        for name, known in train.items():
            if known.dtype.kind == "f":
                squares += ((attributes[name][row] - known) / (known.std() or 1.0)) ** 2
            else:
                squares += 2.0 * (attributes[name][row] != known)
        distances.append(np.sqrt(squares.min()))
    return np.array(distances)


def test_distances_equal_the_definition(table: ScoreTable, train_table: ScoreTable) -> None:
    distances = nearest_train_distances(table.attributes, train=train_table.attributes)
    np.testing.assert_allclose(distances, _slow_distances(table.attributes, train=train_table.attributes), atol=1e-9)


def test_distances_by_hand() -> None:
    # Train currents 100 and 120: mean 110, deviation 10. The constant column counts in its own unit.
    train = {"current": np.array([100.0, 120.0]), "gas": np.array([0.1, 0.1]), "steel": np.array(["a", "b"])}
    asked = {
        "current": np.array([100.0, 150.0, 100.0]),
        "gas": np.array([0.1, 0.1, 4.1]),
        "steel": np.array(["a", "b", "b"]),
    }
    expected = [0.0, 3.0, np.sqrt(2 + 16)]
    np.testing.assert_allclose(nearest_train_distances(asked, train=train), expected, atol=1e-9)


def test_a_category_unseen_in_train_is_as_far_as_any_other() -> None:
    train = {"steel": np.array(["a", "b"])}
    distances = nearest_train_distances({"steel": np.array(["c", "longer than any in train", "a"])}, train=train)
    np.testing.assert_allclose(distances, [np.sqrt(2), np.sqrt(2), 0.0])


@pytest.mark.parametrize("constant", [0.1, 7.0, 1e6 / 3])
def test_a_column_constant_in_train_does_not_explode(constant: float) -> None:
    train = {"thickness": np.full(577, constant)}
    distances = nearest_train_distances({"thickness": np.array([constant, constant + 4])}, train=train)
    np.testing.assert_allclose(distances, [0.0, 4.0], atol=1e-6)


def test_the_control_fires_where_settings_give_the_label_away(
    make_table: Callable[..., ScoreTable],
) -> None:
    train = make_table(split="train", num_defect=0, confounded=True)
    plain = media_free_control(make_table(seed=4), train_attributes=make_table(split="train", num_defect=0).attributes)
    confounded = media_free_control(make_table(seed=4, confounded=True), train_attributes=train.attributes)
    assert plain.auroc is not None and confounded.auroc is not None
    assert plain.auroc.contains(0.5)
    assert confounded.auroc.value > 0.95


def test_equal_settings_everywhere_are_chance(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table()
    same = replace(table, attributes={"current": np.full(len(table), 200.0)})
    control = media_free_control(same, train_attributes={"current": np.full(5, 200.0)})
    assert control.auroc is not None
    assert control.auroc.value == 0.5


@pytest.mark.parametrize(
    ("train", "evaluated", "reason"),
    [
        ({}, {}, "records no attributes"),
        ({"a": np.array([1.0])}, {"b": np.ones(150)}, "not recorded for both .* a, b"),
        ({"a": np.array([])}, {"a": np.ones(150)}, "no training samples"),
        ({"a": np.array([1.0, np.nan])}, {"a": np.ones(150)}, "'a' has no value for 1 samples"),
    ],
)
def test_without_attributes_there_is_a_reason_instead(
    table: ScoreTable, train: dict[str, np.ndarray], evaluated: dict[str, np.ndarray], reason: str
) -> None:
    control = media_free_control(replace(table, attributes=evaluated), train_attributes=train)
    assert control.auroc is None
    assert control.reason is not None and re.search(reason, control.reason)


def test_random_control_is_seeded_and_near_one_half(table: ScoreTable) -> None:
    first, again = (random_control(table, generator=np.random.default_rng(3)) for _ in range(2))
    assert first == again
    assert first != random_control(table, generator=np.random.default_rng(4))
    values = [random_control(table, generator=np.random.default_rng(seed)).value for seed in range(50)]
    assert np.mean(values) == pytest.approx(0.5, abs=0.02)


def test_majority_accuracy() -> None:
    assert majority_accuracy(np.array([1, 1, 1, 0])) == 0.75
    assert majority_accuracy(np.array([0, 0, 0, 0, 1])) == 0.8


def test_numbers_are_those_of_the_files(judged: Path) -> None:
    store, recipe = FeatureStore.open(judged / "features.zarr"), load_run(judged / "runs/first").recipe
    rows = np.array([0, 9, 20])
    found = file_metadata(store, rows, recipe=recipe)
    assert set(found) == {
        *(f"{modality} {what}" for modality in ("video", "audio", "image", "sensor") for what in ("files", "bytes")),
        "audio tokens_length",
        "sensor times",
    }
    for position, key in enumerate(store.index.keys[rows]):
        files = {suffix: list((judged / str(key)).rglob(f"*.{suffix}")) for suffix in ("avi", "flac", "jpg", "csv")}
        for modality, suffix in (("video", "avi"), ("audio", "flac"), ("image", "jpg"), ("sensor", "csv")):
            assert found[f"{modality} files"][position] == len(files[suffix])
            size = sum(path.stat().st_size for path in files[suffix])
            np.testing.assert_allclose(found[f"{modality} bytes"][position], np.log1p(size))
        times = store.read("sensor/times", [int(rows[position])])[0]
        assert found["sensor times"][position] == times[-1] - times[0] > 0


def test_what_is_not_there_tells_on_its_own(judged: Path, tmp_path: Path) -> None:
    """All defects without a film: the control finds them all."""
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", tmp_path / "features.zarr")))
    recipe = load_run(judged / "runs/first").recipe
    test, train = (np.flatnonzero(store.index.parts == split) for split in ("test", "train"))
    for row in test[store.index.labels[test] == 1].tolist():
        StoreWriter(store).report("video", row, Status.ABSENT, reason="no file")
    entries = store.index.select(test)
    table = score_table(entries, scores=np.zeros(len(test)), raw_scores=np.zeros(len(test)))
    files, of_train = (
        {name: values for name, values in file_metadata(store, rows, recipe=recipe).items() if "video" in name}
        for rows in (test, train)
    )
    assert files["video files"].tolist() == (1 - table.labels).tolist()
    control = file_metadata_control(table, files=files, train_files=of_train)
    assert control.auroc is not None and control.auroc.value == 1
