"""Tasks: which rows they take, what they measure, and a recipe that learns classes through the same engine."""

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score
from torch import Tensor, nn

from weldcache.cache.store import FeatureStore
from weldcache.errors import SettingsError
from weldcache.settings import Settings
from weldcache.testing.tasks import TaskContract
from weldcache.train import pipeline
from weldcache.train.data.samples import choose_samples
from weldcache.train.pipeline import train
from weldcache.train.settings import TrainSettings
from weldcache.train.tasks import AnomalyTask, ClassificationTask, Targets, make_task, monitor_of, task_for
from weldcache.train.types import Batch, Encodings, FeatureRequest, Losses, Needs, Prediction, Shapes

VIDEO, PATCHES = FeatureRequest("video", "tokens"), FeatureRequest("image/block_2", "patch_tokens")
MakeSettings = Callable[..., Settings]
LABELS = {"label": np.array([0, 1, -1, 0, 1, -1], np.int8)}


class LinearProbe:
    """Two classes from the mean token of the film."""

    def needs(self) -> Needs:
        return Needs(
            (FeatureRequest("image/block_2", "patch_tokens"), FeatureRequest("video", "tokens")),
            targets=("class",),
            outputs=("logits",),
        )

    def advice(self, missing: object, *, held: object) -> str:
        return "Extract video."

    def build(self, shapes: Shapes) -> nn.Module:
        return nn.Linear(2 * shapes[VIDEO.name][-1] + 2 * shapes[PATCHES.name][-1], 2)

    def measure(self, model: nn.Module, train: Iterable[Batch], constants: Mapping[str, Tensor]) -> None:
        assert all(not batch.targets for batch in train)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        video = batch.features[VIDEO.name].float().mean(dim=1)
        image = batch.features[PATCHES.name].float().mean(dim=(1, 2))
        mean = torch.cat([video, video * image, image, image**2], dim=1)
        return {"logits": model(mean).float()}

    def loss(self, model: nn.Module, encodings: Encodings, targets: Mapping[str, Tensor]) -> Losses:
        return Losses(nn.functional.cross_entropy(encodings["logits"], targets["class"].long()))

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        chances = encodings["logits"].softmax(dim=1)
        return Prediction(1 - chances.amax(dim=1), outputs={"logits": encodings["logits"]})


def scored(scores: list[float]) -> Prediction:
    return Prediction(torch.tensor(scores))


class TestAnomaly(TaskContract):
    targets: ClassVar[Targets] = LABELS
    unknown = (2, 5)

    def task(self) -> AnomalyTask:
        return AnomalyTask()


class TestClassification(TaskContract):
    targets: ClassVar[Targets] = {"class": np.array([2, 0, -1, 3, 1, 0, -1])}
    unknown = (2, 6)

    def task(self) -> ClassificationTask:
        return ClassificationTask()


def test_anomalies_are_told_by_normals_and_the_unknown_take_no_part() -> None:
    task = AnomalyTask()
    assert task.training_rows(LABELS).tolist() == [True, False, False, True, False, False]
    assert task.judged_rows(LABELS).tolist() == [True, True, False, True, True, False]
    assert list(task.monitors().items()) == [("val_auroc", "max"), ("val_loss", "min")]
    assert task.counts(LABELS) == {"validation_normals": 2, "validation_defects": 2}
    unknown_between = scored([0.1, 0.9, 5.0, 0.5, 0.4, -5.0])
    assert task.validate(unknown_between, LABELS) == {"val_auroc": 0.75}
    normals = {"label": np.array([0, 0, -1], np.int8)}
    assert task.validate(scored([1.0, 2.0, 3.0]), normals) == {"val_auroc": None}
    assert "train.monitor=val_loss" in task.obstacle("val_auroc", normals)
    assert task.obstacle("val_loss", normals) == task.obstacle("val_auroc", LABELS) == ""


def test_classes_are_measured_as_scikit_learn_does() -> None:
    task, rng = ClassificationTask(), np.random.default_rng(0)
    classes = rng.integers(-1, 4, size=60)
    classes[classes == 2] = 1  # a class that is predicted and never there
    logits = torch.from_numpy(rng.normal(size=(60, 4)))
    known = classes >= 0
    assert task.training_rows({"class": classes}).tolist() == known.tolist()
    assert task.counts({"class": classes}) == {"validation_classes": 3}
    true, found = classes[known], logits.argmax(dim=1).numpy()[known]
    prediction = Prediction(torch.zeros(60), outputs={"logits": logits})
    assert task.validate(prediction, {"class": classes}) == {
        "val_accuracy": pytest.approx(accuracy_score(true, found)),
        "val_macro_f1": pytest.approx(f1_score(true, found, average="macro")),
    }


def test_a_recipe_without_classes_is_refused_for_telling_them() -> None:
    with pytest.raises(SettingsError, match=r"nearest.*logits.*train\.task"):
        task_for(TrainSettings(task="classification"), "nearest", Needs(()))
    assert isinstance(task_for(TrainSettings(), "nearest", Needs(())), AnomalyTask)


@pytest.mark.parametrize("recipe", ["causal_film", "nearest", "gaussian"])
def test_it_is_refused_before_anything_is_opened(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    monkeypatch.setattr(FeatureStore, "open", lambda *_, **__: pytest.fail("the store is opened"))
    with pytest.raises(SettingsError, match=f"{recipe}.*logits"):
        train(toy_settings(recipe=recipe, task="classification"), run_name="r", overwrite=False, command="")


def test_a_recipe_that_learns_classes_is_refused_for_anomalies() -> None:
    needs = Needs((), targets=("class",), outputs=("logits",))
    with pytest.raises(SettingsError, match=r"linear_probe.*class.*train\.task=classification"):
        task_for(TrainSettings(), "linear_probe", needs)
    assert isinstance(task_for(TrainSettings(task="classification"), "linear_probe", needs), ClassificationTask)
    for learns in ((), ("angle",), ("label", "class")):
        assert isinstance(task_for(TrainSettings(), "any", Needs((), targets=learns)), AnomalyTask)


def test_the_monitor_is_the_tasks_first_or_one_of_its_own() -> None:
    assert monitor_of(TrainSettings()) == "val_auroc"
    assert monitor_of(TrainSettings(task="classification", monitor="val_macro_f1")) == "val_macro_f1"
    assert isinstance(make_task(TrainSettings(task="classification")), ClassificationTask)
    with pytest.raises(SettingsError, match=r"val_auroc.*val_accuracy, val_macro_f1, val_loss"):
        monitor_of(TrainSettings(task="classification", monitor="val_auroc"))


def test_classification_trains_on_every_class(toy_store: FeatureStore) -> None:
    chosen = choose_samples(toy_store, LinearProbe(), task=ClassificationTask(), monitor="val_accuracy")
    assert chosen.train.tolist() == list(range(40)) and chosen.train_left_out == 0
    assert chosen.validation.tolist() == list(range(40, 64))


def test_classes_are_learned_through_the_same_engine(
    toy_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "make_recipe", lambda settings: LinearProbe())
    settings = toy_settings(task="classification", epochs=5, lr=1e-2, ema_decay=0.5)
    summary = train(settings, run_name="probe", overwrite=False, command="")
    rows, counts = summary.run.log(), summary.run.manifest()["counts"]
    assert (counts["train"], counts["train_left_out"], counts["validation"]) == (40, 0, 24)
    assert {"val_loss", "val_accuracy", "val_macro_f1"} <= rows[0].keys() and "val_auroc" not in rows[0]
    assert rows[-1]["loss"] < 0.9 * rows[0]["loss"]
    assert summary.best.value == max(row["val_accuracy"] for row in rows)
    again = train(settings, run_name="again", overwrite=False, command="").run.log()
    assert [row["loss"] for row in again] == [row["loss"] for row in rows]
