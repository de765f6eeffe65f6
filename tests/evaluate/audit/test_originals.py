"""Nine trainings that once passed for results, made again as small runs: an audit names each, and spares its twin.

A twin is the same samples and the same recipe without the fault.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from weldcache.cache.targets import Target, TargetSpec, target_of
from weldcache.tests.listings import Columns, store_of
from weldcache.train.recipes.linear_probe import LinearProbeRecipe
from weldcache.train.state import TrainingState
from weldcache.train.types import Encodings, Losses

Call = Callable[..., Any]
NUM_OF = {"train": 80, "val": 40, "test": 80}
NUM = sum(NUM_OF.values())

CLASSES = """
data: {root: none}
train: {task: classification, device: cpu, epochs: 15, batch_size: 16, lr: 0.01, warmup_epochs: 1, monitor: val_loss}
recipe: {name: linear_probe, array: image/values}
"""
ANGLES = """
data: {root: none}
train: {task: orientation, device: cpu, epochs: 12, batch_size: 16, lr: 0.01, warmup_epochs: 1, weight_decay: 0}
recipe: {name: orientation_mvm, width: 8}
"""


@dataclass(frozen=True)
class Project:
    """What a store is made of, and the settings of a training on it."""

    columns: Columns
    features: Mapping[str, Any]
    settings: str
    files: list[str] = field(default_factory=list)
    targets: Mapping[str, Target] = field(default_factory=dict)


def columns(is_second: np.ndarray, kinds: tuple[str, str], labels: np.ndarray) -> Columns:
    """Samples of two kinds, both in every group."""
    parts = [part for part, num in NUM_OF.items() for _ in range(num)]
    thickness = np.random.default_rng(5).choice([3.0, 5.0, 7.0], NUM)
    return {
        "keys": [f"{row:03d}" for row in range(NUM)],
        "splits": parts,
        "groups": [f"{part}-{row % 20}" for row, part in enumerate(parts)],
        "class_names": [kinds[int(second)] for second in is_second],
        "labels": labels.tolist(),
        "attributes": {"thickness": thickness.tolist()},
    }


def pictures(*, share: float = 0.5, gap: float = 2.0) -> Project:
    """Vectors that differ in a few ways, one of which goes with the label, of which a share is positive."""
    rng = np.random.default_rng(0)
    labels = (rng.random(NUM) < share).astype(int)
    ways = rng.normal(size=(NUM, 6))
    ways[:, 0] += gap * labels
    image = ways @ rng.normal(size=(6, 40)) + 0.3 * rng.normal(size=(NUM, 40))
    return Project(columns(labels, ("good", "crack"), labels), {"image": image}, CLASSES)


def rare() -> Project:
    project = pictures(share=0.3, gap=8.0)
    return replace(project, settings=project.settings.replace("array:", "class_weights: balanced, array:"))


def shapes() -> Project:
    """Sticks, which point somewhere, and bars, which look the same after half a turn."""
    rng = np.random.default_rng(0)
    is_bar, degrees = np.arange(NUM) // 20 % 2, rng.uniform(0, 360, size=NUM)
    along = rng.uniform(-is_bar[:, np.newaxis], 1, size=(NUM, 24))
    angle = np.radians(degrees)[:, np.newaxis]
    points = np.stack([along * np.cos(angle), along * np.sin(angle), np.zeros_like(along)], axis=2)
    points += 0.02 * rng.normal(size=points.shape)
    cloud = {
        "points": points,
        "order": np.tile(np.arange(8), (NUM, 1)),
        "neighbours_1": rng.integers(24, size=(NUM, 8, 6)),
        "neighbours_2": rng.integers(8, size=(NUM, 4, 6)),
    }
    made = columns(is_bar, ("stick", "bar"), np.full(NUM, -1))
    targets = {
        name: target_of(TargetSpec(name, dtype), values.tolist(), keys=made["keys"])
        for name, dtype, values in (
            ("orientation", "float32", degrees),
            ("symmetry", "int8", 1 + is_bar),
            ("concentration", "float32", np.full(NUM, 8.0)),
        )
    }
    return Project(made, {"cloud": cloud}, ANGLES, targets=targets)


TWINS = {"pictures": pictures, "rare": rare, "shapes": shapes}


def coin_flips(_: pytest.MonkeyPatch) -> Project:
    project = pictures()
    dealt = np.random.default_rng(1).permutation(NUM)
    return replace(project, features={"image": project.features["image"][dealt]})


def random_features(_: pytest.MonkeyPatch) -> Project:
    return replace(pictures(), features={"image": np.random.default_rng(0).normal(size=(NUM, 40))})


def attributes_of_the_test_sample(_: pytest.MonkeyPatch) -> Project:
    """Beside the picture, and read instead of it: what is the same for all samples of a class."""
    project = pictures()
    table = np.random.default_rng(0).integers(2, size=(2, 30)).astype(float)
    told = {**project.features, "attributes": table[project.columns["labels"]]}
    return replace(project, features=told, settings=CLASSES.replace("image/values", "attributes/values"))


def loss_without_labels(patch: pytest.MonkeyPatch) -> Project:
    """The mean score and a tenth of its deviation."""

    def loss(self: Any, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        scores = self.predict(model, encodings).outputs["logits"].softmax(dim=1)[:, 1]
        return Losses(scores.mean() + 0.1 * scores.std())

    patch.setattr(LinearProbeRecipe, "loss", loss)
    return rare()


def nothing_is_positive(_: pytest.MonkeyPatch) -> Project:
    """The rare kind has no weight, and training ends before it is learned all the same."""
    project = rare()
    settings = project.settings.replace("balanced", "none").replace("lr: 0.01", "lr: 0.0001")
    return replace(project, settings=settings.replace("epochs: 15", "epochs: 3"))


def loss_that_can_be_exploited(_: pytest.MonkeyPatch) -> Project:
    """The matched peaks are weighted by what is predicted, and that loss chooses the epoch."""
    settings = ANGLES.replace("width: 8", "width: 8, loss: original").replace("lr: 0.01", "lr: 0.02")
    return replace(shapes(), settings=settings.replace("task: orientation", "task: orientation, monitor: val_loss"))


def dead_head(_: pytest.MonkeyPatch) -> Project:
    return replace(shapes(), settings=ANGLES.replace("width: 8", "width: 8, init: zeros"))


def shallow_copy_of_the_best(patch: pytest.MonkeyPatch) -> Project:
    """What is kept of the best epoch are references, which hold whatever the weights become."""

    def references(state: TrainingState) -> dict[str, Tensor]:
        modules = {"raw": state.model, "averaged": state.averaged}
        return {f"{way}/{name}": each for way, module in modules.items() for name, each in module.state_dict().items()}

    patch.setattr("weldcache.train.runs.checkpointer.weights_of", references)
    project = pictures()
    return replace(project, settings=project.settings.replace("lr: 0.01", "lr: 0.02"))


@dataclass(frozen=True)
class Finding:
    """What an audit says of an original."""

    check: str
    severity: str
    evidence: str


ORIGINALS: Mapping[Callable[[pytest.MonkeyPatch], Project], Finding] = {
    coin_flips: Finding("verdict", "error", "The model"),
    random_features: Finding("noise", "error", "numbers drawn at random"),
    attributes_of_the_test_sample: Finding("answer among the features", "error", "2 different rows"),
    loss_without_labels: Finding("labels matter", "error", "labels given to other samples"),
    nothing_is_positive: Finding("verdict", "error", "get the same answer"),
    loss_that_can_be_exploited: Finding("report", "warning", "recipe.loss = original"),
    dead_head: Finding("beginning", "error", "angles.bias, angles.weight"),
    shallow_copy_of_the_best: Finding("reproduced", "error", "the last"),
}


def lay_out(project: Project, folder: Path) -> None:
    store_of(
        folder / "features.zarr",
        project.columns,
        project.features,
        files=project.files,
        targets=project.targets,
        distinct=False,
    )
    (folder / "weldcache.yaml").write_text(project.settings)


def audited(folder: Path, weldcache: Call, *options: str) -> tuple[int, list[dict[str, str]]]:
    """The exit status of an audit, and what it finds."""
    outcome = weldcache("audit", "--json", *options, folder=folder)
    return outcome.code, json.loads(outcome.raw_out)["findings"]


def audited_run(project: Project, folder: Path, weldcache: Call) -> tuple[int, list[dict[str, str]]]:
    lay_out(project, folder)
    trained = weldcache("train", "--run", "original", folder=folder)
    assert trained.code == 0, trained.err
    return audited(folder, weldcache, "--run", "original")


@pytest.mark.parametrize("twin", TWINS)
def test_nothing_is_said_of_a_repaired_twin(twin: str, tmp_path: Path, weldcache: Call) -> None:
    code, found = audited_run(TWINS[twin](), tmp_path, weldcache)
    assert (code, [each for each in found if each["severity"] != "note"]) == (0, [])


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda original: original.__name__)
def test_an_original_is_named(
    original: Callable[[pytest.MonkeyPatch], Project],
    tmp_path: Path,
    weldcache: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, found = audited_run(original(monkeypatch), tmp_path, weldcache)
    told = ORIGINALS[original]
    assert code == 1, found
    of_check = [each for each in found if (each["check"], each["severity"]) == (told.check, told.severity)]
    assert any(told.evidence in each["evidence"] for each in of_check), found


def test_validation_on_the_files_of_training_is_named_and_not_trained_on(tmp_path: Path, weldcache: Call) -> None:
    project = pictures()
    copied = np.concatenate([np.arange(80), np.arange(40), np.arange(120, NUM)])
    made = project.columns
    for name in ("labels", "class_names"):
        made[name] = [made[name][row] for row in copied]
    files = [made["keys"][row] for row in copied]
    lay_out(replace(project, features={"image": project.features["image"][copied]}, files=files), tmp_path)
    refused = weldcache("train", "--run", "original", folder=tmp_path)
    assert refused.code == 2 and "under other names" in refused.err
    code, found = audited(tmp_path, weldcache)
    told = [each["evidence"] for each in found if (each["check"], each["severity"]) == ("files", "error")]
    assert code == 1 and any("val is train again" in each for each in told), found
