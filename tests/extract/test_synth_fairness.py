"""Nothing but the physics separates the classes by default, and `confounded` brings the real data's leaks back."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import soundfile
from sklearn.metrics import roc_auc_score

from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import MediaSize, class_counts, plan_for_size
from weldcache.extract.sources.welds.synth.roster import Weld, list_welds

pytestmark = pytest.mark.slow  # a whole data set is made and measured

CATEGORICAL = ("weld_type", "steel_type")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What files alone tell about each test weld of a data set like `small`, with the smallest media."""
    plan = replace(
        plan_for_size("small"),
        train=class_counts(good=0, defects=0),
        val=class_counts(good=0, defects=0),
        media=MediaSize(64, 40, 120, 54, 1.0, 1.6),
    )
    out = tmp_path_factory.mktemp("fairness")
    generate(out, plan=plan, workers=2)
    return pd.DataFrame([measure(out / weld.key, weld) for weld in list_welds(plan)])


def measure(folder: Path, weld: Weld) -> dict[str, float]:
    film = cv2.VideoCapture(str(folder / f"{folder.name}.avi"))
    means = []
    while (answer := film.read())[0]:
        means.append(float(answer[1].mean()))
    photographs = [float(cv2.imread(str(path)).mean()) for path in (folder / "images").glob("*.jpg")]
    return {
        "defect": float(weld.code != "00"),
        "frames": len(means),
        "fps": film.get(cv2.CAP_PROP_FPS),
        "seconds of sound": soundfile.info(str(folder / f"{folder.name}.flac")).duration,
        "sensor rows": len((folder / f"{folder.name}.csv").read_text().splitlines()),
        "brightness of the film": float(np.mean(means)),
        "brightness of lit frames": float(np.mean([mean for mean in means if mean > 20])),
        "brightness of photographs": float(np.mean(photographs)),
    }


def auroc_interval(labels: Sequence[float], scores: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the AUROC after Hanley and McNeil (1982)."""
    area = float(roc_auc_score(labels, scores))
    positives = sum(label > 0 for label in labels)
    negatives = len(labels) - positives
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (first - area**2) + (negatives - 1) * (second - area**2)
    half = 1.96 * math.sqrt(variance / (positives * negatives))
    return area - half, area + half


def nearest_train_settings(welds: Sequence[Weld]) -> tuple[list[float], list[float]]:
    """Labels and scores of the media-free control over the test welds."""
    table = pd.DataFrame([vars(weld.settings) for weld in welds])
    train = np.array([weld.split == "train" for weld in welds])
    numeric = table.drop(columns=list(CATEGORICAL)).astype(float)
    scale = numeric[train].std(ddof=0).replace(0.0, 1.0)
    wide = pd.concat([(numeric - numeric[train].mean()) / scale, pd.get_dummies(table[list(CATEGORICAL)])], axis=1)
    points = wide.to_numpy(float)
    test = np.flatnonzero([weld.split == "test" for weld in welds])
    distances = np.linalg.norm(points[test][:, None] - points[train][None], axis=2).min(axis=1)
    return [float(welds[place].code != "00") for place in test], distances.tolist()


@pytest.mark.parametrize(
    "shortcut",
    [
        "frames",
        "fps",
        "seconds of sound",
        "sensor rows",
        "brightness of the film",
        "brightness of lit frames",
        "brightness of photographs",
    ],
)
def test_no_property_of_the_files_alone_separates_the_classes(measured: pd.DataFrame, shortcut: str) -> None:
    low, high = auroc_interval(measured["defect"].tolist(), measured[shortcut].tolist())
    assert low < 0.5 < high


def test_settings_alone_do_not_separate_the_classes() -> None:
    labels, scores = nearest_train_settings(list_welds(plan_for_size("small")))
    low, high = auroc_interval(labels, scores)
    assert low < 0.5 < high


def test_no_session_leans_to_a_class() -> None:
    welds = list_welds(plan_for_size("small"))
    test = [weld for weld in welds if weld.split == "test"]
    low, high = auroc_interval([float(weld.code != "00") for weld in test], [weld.session for weld in test])
    assert low < 0.5 < high
    defects = Counter(weld.session for weld in test if weld.code != "00")
    assert max(defects.values()) - min(defects.values()) <= 1


@pytest.mark.parametrize("size", ["tiny", "small", "full"])
def test_sessions_are_small_and_keep_to_one_split(size: str) -> None:
    welds = list_welds(plan_for_size(size))  # type: ignore[arg-type]
    splits: dict[str, set[str]] = {}
    for weld in welds:
        splits.setdefault(weld.directory, set()).add(weld.split)
    assert all(len(names) == 1 for names in splits.values())
    assert max(Counter(weld.directory for weld in welds).values()) <= 20
    assert len({weld.key for weld in welds}) == len(welds)


@pytest.mark.parametrize(("size", "duplicates"), [("tiny", 0), ("small", 3), ("full", 20)])
def test_run_names_repeat_across_folders_as_in_the_real_data(size: str, duplicates: int) -> None:
    welds = list_welds(plan_for_size(size))  # type: ignore[arg-type]
    assert len(welds) - len({weld.run for weld in welds}) == duplicates


def test_confounded_settings_give_the_class_away() -> None:
    welds = list_welds(plan_for_size("small", confounded=True))
    labels, scores = nearest_train_settings(welds)
    assert roc_auc_score(labels, scores) > 0.8
    assert {weld.settings.thickness_mm for weld in welds if weld.code == "00"} == {7}
    thin = [
        code
        for code in {weld.code for weld in welds}
        if {weld.settings.thickness_mm for weld in welds if weld.code == code} == {3}
    ]
    assert len(thin) >= 3


def test_confounded_sessions_have_one_class_and_cross_the_splits() -> None:
    welds = list_welds(plan_for_size("small", confounded=True))
    frame = pd.DataFrame([{"session": weld.session, "code": weld.code, "split": weld.split} for weld in welds])
    by_session = frame.groupby("session")
    assert (by_session["code"].nunique() == 1).all()
    assert (by_session["split"].nunique() > 1).mean() > 0.7


def test_confounded_photographs_show_a_sticker(tmp_path: Path) -> None:
    plan = replace(plan_for_size("tiny"), train={"00": 1}, val={}, test={}, media=MediaSize(64, 40, 400, 180, 1.0, 1.1))
    corners = []
    for confounded in (False, True):
        out = tmp_path / str(confounded)
        generate(out, plan=replace(plan, confounded=confounded), workers=1)
        photograph = cv2.imread(str(next(out.rglob("*_view1.jpg"))))
        corners.append(photograph[-16:-8, 10:60])
    assert (corners[1] > 215).mean() > 0.5 > (corners[0] > 215).mean()
