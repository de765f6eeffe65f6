"""A classifier is judged beside always giving the most frequent class, through the same engine as a detector."""

import csv
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from weldcache.cache.store import FeatureStore
from weldcache.errors import MetricError
from weldcache.evaluate.section import Section
from weldcache.evaluate.tasks.classification import assess_classes, class_sections
from weldcache.train.recipes import video_autoencoder
from weldcache.train.runs.folder import RunFolder
from weldcache.train.types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes

NAMES = ["crack", "good", "pore"]
TRAINING = Section("training", "Training")


def test_figures_by_hand() -> None:
    true, predicted = np.array([1, 1, 1, 1, 0, 2]), np.array([1, 1, 1, 0, 0, 1])
    found = assess_classes(true, predicted, train=np.array([1, 1, 0]), names=NAMES)
    assert found.accuracy.value == found.majority.value == 4 / 6 and found.majority_class == "good"
    assert found.confusion.tolist() == [[1, 0, 0], [1, 3, 0], [0, 1, 0]]
    assert found.by_class["good"].num == 4 and found.by_class["pore"].f1 == 0
    assert found.majority_f1 == pytest.approx((0 + 0.8 + 0) / 3) and found.untaught == ("pore",)


@pytest.mark.parametrize(("num_right", "standing"), [(100, "good"), (56, "doubtful"), (30, "bad")])
def test_the_verdict_is_against_always_answering_the_most_frequent_class(num_right: int, standing: str) -> None:
    true = np.repeat([0, 1], 50)
    predicted = np.where(np.arange(100) < num_right, true, 1 - true)
    found = assess_classes(true, predicted, train=np.array([1]), names=NAMES)
    verdict = next(part for part in class_sections(found, warnings=(), training=TRAINING) if part.id == "verdict")
    assert verdict.standing == standing


def test_no_samples() -> None:
    nothing = np.empty(0, dtype=np.int64)
    with pytest.raises(MetricError, match="no samples"):
        assess_classes(nothing, nothing, train=np.array([0]), names=NAMES)


FRAMES = FeatureRequest("video", "embedding")


class _Probe:
    """A linear layer on a mean frame; it has as many classes as the tiny data set."""

    num_classes = 12

    def needs(self) -> Needs:
        return Needs((FRAMES,), targets=("class",))

    def advice(self, missing: object, *, held: object) -> str:
        return "Extract video."

    def build(self, shapes: Shapes) -> nn.Module:
        return nn.Linear(shapes[FRAMES.name][-1], self.num_classes)

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        pass

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        frames = batch.features[FRAMES.name].float()
        return {"logits": model(frames.flatten(1, -2).mean(dim=1) if frames.ndim > 2 else frames).float()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        return Losses(nn.functional.cross_entropy(encodings["logits"], targets["class"].long()))

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        logits = encodings["logits"]
        return Prediction(1 - logits.softmax(dim=1).amax(dim=1), outputs={"logits": logits})


def test_from_a_store_to_a_report(
    judged: Path,
    copy_of: Callable[[Path], Path],
    weldcache: Callable[..., Any],
    facts_of: Callable[[Path], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    project = copy_of(judged)
    monkeypatch.setattr(video_autoencoder, "VideoAutoencoderRecipe", lambda settings: _Probe())
    options = ["--set", "recipe.name=video_ae", "--set", "train.task=classification"]
    outcome = weldcache("train", "--run", "probe", *options, folder=project)
    assert outcome.code == 0, outcome.err
    outcome = weldcache("eval", "--run", "probe", folder=project)
    assert outcome.code == 0, outcome.err
    run, store = project / "runs/probe", FeatureStore.open(project / "features.zarr")
    kept, facts = json.loads((run / "calibration.json").read_text()), facts_of(run / "report.json")
    assert kept["classes"] == list(store.index.targets["class"].spec.classes or ())
    with (run / "scores_test.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == facts["num_samples"] == 15
    assert facts["accuracy"]["value"] == np.mean([row["predicted"] == row["class_name"] for row in rows])
    assert facts["majority_accuracy"]["value"] == np.mean([row["class_name"] == "good" for row in rows])
    assert "Majority control" in (run / "report.html").read_text()
    assert "No training sample is of" in outcome.out

    folder = RunFolder(run)
    others = {**kept, "classes": [*kept["classes"][:-1], "zz"], "rests_on": {**kept["rests_on"], "epoch": 999}}
    folder.write(folder.calibration_path, others)
    refused = weldcache("eval", "--run", "probe", folder=project)
    assert refused.code != 0 and "classes" in refused.err and "train again" in refused.err
