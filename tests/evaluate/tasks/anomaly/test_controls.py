"""Controls: each by hand or against another reading of its definition, where it gives the label away, and when there is
none."""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.covariance import LedoitWolf
from sklearn.metrics import roc_auc_score

from weldcache.cache.status import SourceFile, Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.scores import ScoreTable, score_table
from weldcache.evaluate.tasks.anomaly.controls.chance import majority_accuracy, permuted_labels, random_control
from weldcache.evaluate.tasks.anomaly.controls.files import file_metadata, presence_control
from weldcache.evaluate.tasks.anomaly.controls.labelled import (
    Known,
    attribute_rule_control,
    attribute_rules,
    group_only_control,
    separating_attributes,
)
from weldcache.evaluate.tasks.anomaly.controls.nearest import (
    file_metadata_control,
    media_free_control,
    nearest_train_distances,
)
from weldcache.evaluate.tasks.anomaly.controls.probes import ProbedRows, probe_controls
from weldcache.tests.toy import lose
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
        *(
            f"{modality} {what}"
            for modality in ("video", "audio", "image", "sensor")
            for what in ("files", "bytes", "largest bytes", "endings")
        ),
        *(f"video {what}" for what in ("width", "height", "frames", "seconds")),
        *(f"image {what}" for what in ("width", "height")),
        "audio seconds",
        "audio tokens_length",
        "sensor times",
    }
    for position, key in enumerate(store.index.keys[rows]):
        files = {suffix: list((judged / str(key)).rglob(f"*.{suffix}")) for suffix in ("avi", "flac", "jpg", "csv")}
        for modality, suffix in (("video", "avi"), ("audio", "flac"), ("image", "jpg"), ("sensor", "csv")):
            assert found[f"{modality} files"][position] == len(files[suffix])
            sizes = [path.stat().st_size for path in files[suffix]]
            np.testing.assert_allclose(found[f"{modality} bytes"][position], np.log1p(sum(sizes)))
            np.testing.assert_allclose(found[f"{modality} largest bytes"][position], np.log1p(max(sizes)))
            assert found[f"{modality} endings"][position] == f".{suffix}"
        film, sound = cv2.VideoCapture(str(files["avi"][0])), soundfile.info(files["flac"][0])
        assert found["video frames"][position] == film.get(cv2.CAP_PROP_FRAME_COUNT)
        assert found["video width"][position] == film.get(cv2.CAP_PROP_FRAME_WIDTH)
        assert found["audio seconds"][position] == sound.frames / sound.samplerate
        assert found["image height"][position] == np.mean([cv2.imread(str(path)).shape[0] for path in files["jpg"]])
        times = store.read("sensor/times", [int(rows[position])])[0]
        assert found["sensor times"][position] == times[-1] - times[0] > 0


def test_what_is_told_of_some_rows_alone_tells_when_they_were_made_and_is_left_out(
    judged: Path, tmp_path: Path
) -> None:
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", tmp_path / "features.zarr")))
    recipe = load_run(judged / "runs/first").recipe
    ((film, *_),) = store.sources("video", [3])
    former = SourceFile(film.path, film.size, film.mtime_ns, film.sha256)
    StoreWriter(store).renew_sources("video", {3: [former]})
    assert "video frames" in file_metadata(store, np.array([0, 9]), recipe=recipe)
    assert "video frames" not in file_metadata(store, np.array([0, 3, 9]), recipe=recipe)


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


def _known(labels: list[int], *, groups: list[str] | None = None, **attributes: list[float] | list[str]) -> Known:
    columns = {name: np.array(values) for name, values in attributes.items()}
    return Known(np.array(labels, dtype=np.int64), groups or [""] * len(labels), columns)


def test_a_group_gets_the_share_of_defects_that_are_known_in_it(make_table: Callable[..., ScoreTable]) -> None:
    table = replace(make_table(num_normal=2, num_defect=3), groups=("a", "b", "b", "c", ""))
    known = _known([0, 0, 1, 1, 0], groups=["a", "b", "b", "b", ""])
    # a: 0; b: 2 of 3; unknown: 2 of 5, with one more of each. Normals 0 and 2/3, defects 2/3, 3/7, 3/7.
    found = group_only_control(table, known=known)
    expected = roc_auc_score([0, 0, 1, 1, 1], [0, 9, 9, 5, 5])
    assert found.auroc is not None and found.auroc.value == pytest.approx(expected)
    assert "3 of 5 samples" in found.told


def test_unseen_groups_are_stranger_than_those_of_training_normals(make_table: Callable[..., ScoreTable]) -> None:
    table = replace(make_table(num_normal=2, num_defect=2), groups=("a", "a", "x", "y"))
    found = group_only_control(table, known=_known([0, 0], groups=["a", "a"]))
    assert found.auroc is not None and found.auroc.value == 1


def test_without_groups_there_is_a_reason(make_table: Callable[..., ScoreTable]) -> None:
    table = replace(make_table(num_normal=2, num_defect=2), groups=("",) * 4)
    assert group_only_control(table, known=_known([0, 1])).reason == "no groups are recorded"


def test_a_rule_by_hand() -> None:
    known = _known(
        [0, 0, 0, 1, 1, 1],
        speed=[1.0, 2.0, 3.0, 6.0, 1.5, 9.0],
        steel=["a", "b", "a", "c", "c", "c"],
        same=[1.0] * 6,
    )
    perfect, other = attribute_rules(known.attributes, known)
    assert (perfect.words, perfect.is_perfect) == ("steel is c", True)
    assert (other.words, other.is_perfect) == ("speed > 4.5", False)
    assert other.scores({"speed": np.array([4.0, 5.0])}).tolist() == [pytest.approx(1 / 4), 1.0]


@given(
    normals=st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=12),
    defects=st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=12),
)
def test_a_rule_scores_as_its_words_say(normals: list[float], defects: list[float]) -> None:
    known = _known([0] * len(normals) + [1] * len(defects), x=[*normals, *defects])
    for rule in attribute_rules(known.attributes, known):
        _, sign, _ = rule.words.split()
        holds = known.attributes["x"] > rule.limit if sign == ">" else known.attributes["x"] <= rule.limit
        scores = rule.scores(known.attributes)
        assert scores[holds].min() > scores[~holds].max()
        assert rule.is_perfect == (holds.tolist() == known.labels.tolist())


def test_the_rule_is_put_to_samples_that_it_did_not_see(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table(confounded=True)
    known = _known([0] * 6 + [1] * 6, thickness_mm=[7.0] * 6 + [3.0] * 6)
    found = attribute_rule_control(table, known=known)
    assert found.auroc is not None and found.auroc.value == 1
    assert found.told == "defect where thickness mm <= 5"
    assert separating_attributes(table, known=known) == {"thickness_mm": "thickness mm <= 5"}
    plain = attribute_rule_control(make_table(), known=known)
    assert plain.auroc is not None and plain.auroc.contains(0.5)
    assert not separating_attributes(make_table(), known=known)


def test_no_rule_and_why(table: ScoreTable) -> None:
    for known, reason in (
        (_known([0, 1]), "records no attributes"),
        (_known([0, 0], thickness_mm=[3.0, 7.0]), "no defects to find a rule by"),
        (_known([0, 1], thickness_mm=[3.0, 3.0]), "is alike in all"),
    ):
        found = attribute_rule_control(table, known=known)
        assert found.auroc is None and found.reason is not None and reason in found.reason


def test_chance_separates_a_few_by_some_attribute(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table(num_normal=3, num_defect=1)
    assert not separating_attributes(table, known=_known([0, 0], thickness_mm=[100.0, 100.0]))


def test_presence_that_gives_the_label_away(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table(num_normal=20, num_defect=20)
    train = {"film": np.zeros(8), "sound": np.ones(8)}
    told = presence_control(
        table, present={"film": table.labels.astype(float), "sound": np.ones(40)}, train_present=train
    )
    assert told.auroc is not None and told.auroc.value == 1
    alike = presence_control(table, present={"film": np.zeros(40), "sound": np.ones(40)}, train_present=train)
    assert alike.reason == "all samples have the same modalities"


def test_labels_dealt_anew(make_table: Callable[..., ScoreTable]) -> None:
    strong, nothing = (permuted_labels(make_table(shift=shift), seed=0) for shift in (1.5, 0.0))
    assert strong.p_value == pytest.approx(1 / 1001) and not strong.of_groups
    assert nothing.p_value > 0.01 and nothing.null.contains(0.5)
    assert permuted_labels(make_table(), seed=0) == permuted_labels(make_table(), seed=0)
    assert permuted_labels(make_table(), seed=0) != permuted_labels(make_table(), seed=1)


def test_the_null_is_that_of_scipy(make_table: Callable[..., ScoreTable]) -> None:
    """The exact null of the rank sum has this spread."""
    table = make_table(num_normal=12, num_defect=9, shift=0.6)
    found = permuted_labels(table, seed=0)
    exact = mannwhitneyu(
        table.scores[table.labels == 1], table.scores[table.labels == 0], alternative="greater", method="exact"
    )
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.04)


def test_groups_of_one_label_are_dealt_whole(make_table: Callable[..., ScoreTable]) -> None:
    """Six groups of 25: of 20 ways to choose three, one or so is as good, however many samples there are."""
    table = make_table(num_normal=75, num_defect=75, shift=6.0)
    grouped = replace(table, groups=tuple(f"g{row // 25}" for row in range(150)))
    found = permuted_labels(grouped, seed=0)
    assert found.of_groups and 0.02 < found.p_value < 0.1
    assert permuted_labels(table, seed=0).p_value == pytest.approx(1 / 1001)


def test_a_probe_is_the_gaussian_recipe_by_itself(judged: Path) -> None:
    """Ledoit and Wolf's covariance of scikit-learn, of the pooled vectors in units of their own spread."""
    store, recipe = FeatureStore.open(judged / "features.zarr"), load_run(judged / "runs/first").recipe
    train, test = (np.flatnonzero(store.index.parts == split) for split in ("train", "test"))
    entries = store.index.select(test)
    table = score_table(entries, scores=np.arange(len(test), dtype=float), raw_scores=None)
    rows = ProbedRows(store, train, test)
    found = probe_controls(table, rows, recipe=recipe)
    assert set(found) == {"video_probe", "audio_probe", "image_probe", "sensor_probe"}
    assert all(each.rival.of_media and each.auroc is not None for each in found.values())
    learned, scored = (store.read("audio/embedding", each).astype(np.float64) for each in (train, test))
    unit = learned.std(axis=0)
    fitted = LedoitWolf().fit(learned / unit)
    expected = np.sqrt(fitted.mahalanobis(scored / unit))
    np.testing.assert_allclose(rows.probe("audio/embedding"), expected, rtol=1e-3)


def test_a_probe_leaves_out_who_lacks_its_modality(judged: Path, tmp_path: Path) -> None:
    store = FeatureStore.open(Path(shutil.copytree(judged / "features.zarr", tmp_path / "features.zarr")))
    recipe = load_run(judged / "runs/first").recipe
    train, test = (np.flatnonzero(store.index.parts == split) for split in ("train", "test"))
    lose(store, ["video"], test[:2].tolist())
    lose(store, ["audio"], train.tolist())
    lose(store, ["sensor"], test[store.index.labels[test] == 0].tolist())
    table = score_table(store.index.select(test), scores=np.arange(len(test), dtype=float), raw_scores=None)
    found = probe_controls(table, ProbedRows(store, train, test), recipe=recipe)
    assert "13 of 15 samples" in found["video_probe"].told
    assert (found["audio_probe"].auroc, found["sensor_probe"].auroc) == (None, None)
    assert found["audio_probe"].reason == "too few samples have audio/embedding"
    assert found["sensor_probe"].reason == "the samples that have it are of one label"


def test_what_is_too_large_is_not_looked_at(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FeatureStore.open(judged / "features.zarr")
    monkeypatch.setattr("weldcache.evaluate.tasks.anomaly.controls.probes._MOST_BYTES", 1)
    found = ProbedRows(store, np.arange(8), np.arange(8, 12)).probe("audio/embedding")
    assert isinstance(found, str) and "too much" in found
