"""What the aim of a training is: which rows it takes, which figures watch over it, and what validation measures."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from ..errors import SettingsError
from ..metrics.classes import class_figures, macro_f1
from ..metrics.ranking import auroc
from ..wording import listed
from .settings import TASKS, TrainSettings
from .types import Needs, Prediction

Direction = Literal["max", "min"]
"""Which values of a figure are better."""

Targets = Mapping[str, NDArray[Any]]
"""What is to be predicted, one entry a row, by name; -1 where it is not known, and NaN where it is no whole number."""

LOSS = "val_loss"
"""The loss on those validation rows that training would take, which is measured whatever the task."""


@runtime_checkable
class Task(Protocol):
    """The aim of a training. Rows whose target is not known take part in nothing."""

    @property
    def target(self) -> str:
        """The name of the target that it asks for."""

    @property
    def trains_on(self) -> str:
        """The word for what it trains on."""

    @property
    def leaves_out(self) -> str:
        """The word for what is there to be judged, and never trained on."""

    @property
    def outputs(self) -> Collection[str]:
        """Names of the outputs of predictions that it measures beside the scores: a recipe has to have them."""

    def training_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        """Which rows may be trained on; the validation loss is of them alone, too."""

    def judged_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        """Which rows validation may measure something on."""

    def counts(self, targets: Targets) -> Mapping[str, int]:
        """What a run's manifest tells of its validation rows beside their number, each called `validation_...`."""

    def monitors(self) -> Mapping[str, Direction]:
        """The figures of validation by which the best epoch may be chosen, each called `val_...`; the first is the
        default."""

    def obstacle(self, monitor: str, targets: Targets) -> str:
        """What validation lacks to measure a monitor, and what helps, as sentences; "" where it lacks nothing."""

    def validate(self, prediction: Prediction, targets: Targets) -> Mapping[str, float | None]:
        """The monitors beside the loss, on validation rows; None where these say nothing of one."""


class AnomalyTask:
    """Train on normals, and tell defects from them by the score."""

    target = "label"
    trains_on = "normal"
    leaves_out = "defect"
    outputs: Collection[str] = ()

    def training_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return np.asarray(targets["label"] == 0)

    def judged_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return np.isin(targets["label"], (0, 1))

    def counts(self, targets: Targets) -> Mapping[str, int]:
        labels = targets["label"]
        return {"validation_normals": int(np.sum(labels == 0)), "validation_defects": int(np.sum(labels == 1))}

    def monitors(self) -> Mapping[str, Direction]:
        return {"val_auroc": "max", LOSS: "min"}

    def obstacle(self, monitor: str, targets: Targets) -> str:
        if monitor == LOSS or (targets["label"] == 1).any():  # an AUROC takes defects, the loss does not
            return ""
        return (
            "it has no defects there with all features. Where all defects belong to one group, a split by whole "
            "groups has none to give: put some there in the data set, or make another split with `weldcache split`. Or "
            f"use --set train.monitor={LOSS}, which looks at normals alone."
        )

    def validate(self, prediction: Prediction, targets: Targets) -> Mapping[str, float | None]:
        known = self.judged_rows(targets)
        labels, scores = targets["label"][known], prediction.score.float().cpu().numpy()[known]
        return {"val_auroc": auroc(scores, labels) if len(np.unique(labels)) == 2 else None}


class DetectionTask(AnomalyTask):
    """Train on normals and defects alike, all whose label is known, and tell them apart by the score."""

    trains_on = "labelled sample"
    leaves_out = "unlabelled sample"

    def training_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return self.judged_rows(targets)

    def obstacle(self, monitor: str, targets: Targets) -> str:
        if monitor == LOSS or len(np.unique(targets["label"][self.judged_rows(targets)])) == 2:
            return ""
        return (
            "it has not both normals and defects there with all features. Give it some in the data set, or make "
            f"another split with `weldcache split`; or use --set train.monitor={LOSS}, which takes whatever is there."
        )


class PointsTask(DetectionTask):
    """Tell which points of a row are defective, by the output `point_scores`, (row, point), NaN where there is none;
    the score of a row says whether any is."""

    outputs = ("point_scores",)

    def monitors(self) -> Mapping[str, Direction]:
        return {LOSS: "min", "val_auroc": "max"}


class ClassificationTask:
    """Train on all rows whose class is known, and tell the classes by the output `logits`, (row, class)."""

    target = "class"
    trains_on = "labelled sample"
    leaves_out = "other sample"
    outputs = ("logits",)

    def training_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        """All whose class is known."""
        return np.asarray(targets["class"] >= 0)

    def judged_rows(self, targets: Targets) -> Bool[np.ndarray, " row"]:
        return self.training_rows(targets)

    def counts(self, targets: Targets) -> Mapping[str, int]:
        classes = targets["class"]
        return {"validation_classes": len(np.unique(classes[classes >= 0]))}

    def monitors(self) -> Mapping[str, Direction]:
        return {"val_accuracy": "max", "val_macro_f1": "max", LOSS: "min"}

    def obstacle(self, monitor: str, targets: Targets) -> str:
        return ""

    def validate(self, prediction: Prediction, targets: Targets) -> Mapping[str, float | None]:
        """Accuracy, and macro F1: the mean over each class that is there or is predicted, however rare."""
        known = self.judged_rows(targets)
        true, found = targets["class"][known], prediction.outputs["logits"].argmax(dim=1).cpu().numpy()[known]
        f1 = macro_f1(list(class_figures(true, found).values()))
        return {"val_accuracy": float(np.mean(true == found)), "val_macro_f1": f1}


def make_task(settings: TrainSettings) -> Task:
    """The task that the settings name.

    Raises:
        SettingsError: if it cannot be imported.
    """
    return _made(settings.task)


def _made(name: str) -> Task:
    task: Task = TASKS.code(name)()
    return task


def task_for(settings: TrainSettings, recipe: str, needs: Needs) -> Task:
    """The task that the settings name, for a recipe of this name that needs this.

    Raises:
        SettingsError: if the recipe learns what another task asks for, and not what this one does: who trains on
            normals alone learns no classes. If the recipe does not predict what the task measures.
    """
    task, learns = make_task(settings), needs.targets
    others = [] if not learns or task.target in learns else _tasks_of(learns)
    if others:
        raise SettingsError(
            f"The recipe {recipe} learns from the target {listed(sorted(learns))}, which train.task = {settings.task} "
            f"does not ask for. Say --set train.task={others[0]}, or choose another with --set recipe.name=..."
        )
    if lacking := [name for name in task.outputs if name not in needs.outputs]:
        raise SettingsError(
            f"The recipe {recipe} does not predict {listed(lacking)}, which train.task = {settings.task} measures: "
            "choose another with --set recipe.name=..., or another task with --set train.task=..."
        )
    return task


def _tasks_of(targets: Collection[str]) -> list[str]:
    """Names of the tasks that ask for one of these targets."""
    found = []
    for name in TASKS.names:
        with suppress(SettingsError):  # of a package that cannot be imported, which nobody has chosen
            found += [name] if _made(name).target in targets else []
    return found


def monitors_of(task: str) -> Mapping[str, Direction]:
    """The monitors of the task of this name; none where a run was made for a task that is not known here."""
    with suppress(SettingsError):
        return _made(task).monitors()
    return {}


def monitor_of(settings: TrainSettings) -> str:
    """The figure that chooses the best epoch, as the settings say or else as the task does.

    Raises:
        SettingsError: if the task has none of that name; the message lists those it has.
    """
    names = list(make_task(settings).monitors())
    if settings.monitor not in (None, *names):
        raise SettingsError(
            f"train.monitor is {settings.monitor}, and the task {settings.task} measures {', '.join(names)}."
        )
    return settings.monitor or names[0]
