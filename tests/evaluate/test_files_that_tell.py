"""Files that give the answer away by how much there is in them, and as many that do not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from weldcache.cache.store import FeatureStore

SETTINGS = """
preset: pictures
features: {image: null, pixels: {kind: pixels, num_views: 1, width: 4, height: 4}}
extract: {device: cpu, workers: 0, features: [pixels]}
train: {device: cpu}
recipe: {name: nearest, array: pixels/values, vectors: each}
"""


@pytest.fixture
def judged_pictures(tmp_path: Path, weldcache: Callable[..., Any], undrawn: None) -> Callable[..., dict[str, Any]]:
    """Noise in folders of good and of bad pictures, `wider` of which are the bad ones: the sections of its report."""

    def judge(*, wider: int) -> dict[str, Any]:
        generator = np.random.default_rng(0)
        for name, num in (("good", 60), ("bad", 24)):
            (tmp_path / "data" / name).mkdir(parents=True)
            for number in range(num):
                size = (24, 24 + (wider if name == "bad" else 0), 3)
                picture = generator.integers(0, 256, size, dtype=np.uint8)
                cv2.imwrite(str(tmp_path / "data" / name / f"{number:02d}.png"), picture)
        (tmp_path / "weldcache.yaml").write_text(SETTINGS)
        for command in (["extract"], ["train", "--run", "first"], ["eval", "--run", "first"]):
            outcome = weldcache(*command, folder=tmp_path)
            assert outcome.code == 0, outcome.err
        found: dict[str, Any] = json.loads((tmp_path / "runs/first/report.json").read_text())["sections"]
        return found

    return judge


def _controls(report: dict[str, Any]) -> dict[str, Any]:
    return {row["control"]: row for row in report["controls"]["rows"]["by_control"]}


def test_defects_of_another_picture_size(judged_pictures: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    report = judged_pictures(wider=6)
    controls = _controls(report)
    for name in ("file-metadata control", "file-rule control"):
        assert controls[name]["auroc"]["value"] == 1
    assert controls["file-rule control"]["note"] == "defect where pixels width > 27"
    assert report["verdict"]["standing"] == "bad"
    assert "file-rule control" in " ".join(report["verdict"]["points"])
    store = FeatureStore.open(tmp_path / "features.zarr")
    for files, label in zip(store.sources("pixels", range(84)), store.index.labels.tolist(), strict=True):
        assert [dict(file.extent) for file in files] == [{"width": 24.0 + 6 * label, "height": 24.0}]


def test_pictures_of_one_size_tell_nothing(judged_pictures: Callable[..., dict[str, Any]]) -> None:
    controls = _controls(judged_pictures(wider=0))
    assert controls["file-rule control"]["auroc"] is None
    assert controls["file-metadata control"]["auroc"]["low"] < 0.5
