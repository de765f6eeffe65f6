"""The commands of `make demo` on tiny synthetic welds; a Lite0 of random weights lies where the trained one would."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.weights.catalogue import ENTRIES, FOLDER_VARIABLE
from weldcache.settings import load_settings
from weldcache.tests.conftest import linked_copy
from weldcache.tests.toy import undraw

Run = Callable[..., Any]

# Decoding in this process, as in the fixtures, and few and small pictures; what is drawn and learned is not tried here.
SETTINGS = """
preset: demo
data: {root: .}
features: {video: {num_frames: 4, size: 64}, image: {size: 96}}
extract: {device: cpu, workers: 0}
train: {device: cpu, epochs: 2}
"""

FEWER_FOLDS = ["--set", "recipe.folds=2", "--set", "recipe.members.match.folds=2"]  # for eight normals

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(synthetic: Path, tmp_path_factory: pytest.TempPathFactory, weldcache: Run) -> Path:
    """The data set with a store and the runs `match` and `causal_film`, both judged."""
    base = tmp_path_factory.mktemp("demo")
    folder = linked_copy(synthetic, base / "project")
    (folder / "weldcache.yaml").write_text(SETTINGS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(base / "weights"))
        undraw(patch)
        entry = ENTRIES["efficientnet-lite0"]
        entry.folder.parent.mkdir()
        save_random_backbone(entry.folder, family="efficientnet_lite", scale="full", seed=0)
        for command in (
            ["extract", "--config", "match"],
            ["train", "--config", "match", "--run", "match", *FEWER_FOLDS],
            ["eval", "--run", "match"],
            ["train", "--run", "causal_film"],
            ["eval", "--run", "causal_film"],
        ):
            outcome = weldcache(*command, folder=folder)
            assert outcome.code == 0, (command, outcome.err)
    return folder


def test_every_feature_of_the_preset_is_made(project: Path) -> None:
    settings = load_settings("match", folder=project)
    store = FeatureStore.open(project / "features.zarr")
    made = set(store.feature_sets)
    assert {name.partition("/")[0] for name in made} == set(settings.asked_features)
    assert set(settings.asked_features) == {
        "video",
        "sound_statistics",
        "image",
        "pixels",
        "sensor",
        "sensor_statistics",
    }
    for name in made:
        assert (store.status(name) == Status.COMPLETE).all(), name


def test_the_report_of_match_has_every_member_and_says_what_is_random(project: Path) -> None:
    report = json.loads((project / "runs/match/report.json").read_text())
    members = load_settings("match", folder=project).recipe.members
    rows = report["sections"]["members"]["rows"]["by_member"]
    assert [row["member"] for row in rows] == list(members)
    assert all(0 <= row["auroc"]["low"] <= row["auroc"]["high"] <= 1 for row in rows)
    assert "fitted_match_explained_variance" in report["sections"]["training"]["facts"]
    assert {name.partition("/")[0] for name in report["random_features"]} == {"video", "image"}


def test_causal_film_reads_film_sound_sensors_and_photographs(project: Path) -> None:
    report = json.loads((project / "runs/causal_film/report.json").read_text())
    rows = report["sections"]["without_modality"]["rows"]["by_modality"]
    assert {row["modality"] for row in rows} == {"video", "audio", "sensor", "image"}


def test_both_are_shown_beside_each_other(project: Path, weldcache: Run) -> None:
    outcome = weldcache("compare", "match", "causal_film", "--json", folder=project)
    assert outcome.code == 0, outcome.err
    compared = json.loads(outcome.raw_out)
    assert compared["runs"] == ["match", "causal_film"] and compared["refused"] is None
    assert compared["paired"]["scored_now"] == [] and len(compared["paired"]["pairs"]) == 1
    for run, figure in zip(compared["runs"], compared["figures"]["test_auroc"], strict=True):
        facts = json.loads((project / "runs" / run / "report.json").read_text())["sections"]["headline"]["facts"]
        assert figure == {name: facts["auroc"][name] for name in figure}
