"""The judge of classifiers: how often the class is right, beside always giving the most frequent one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from ...errors import MetricError
from ...metrics.classes import ClassFigures, class_figures, confusion_counts, macro_f1
from ...metrics.estimate import Estimate, clopper_pearson, span
from ...train.data.features import targets_of
from ...train.runs.documents import Line
from ...train.runs.folder import RunFolder
from ...train.runs.reports import Headline
from ...wording import count_of, shortened, visible
from ..judge import (
    Background,
    Calibration,
    Judgement,
    caveats_of_completeness,
    caveats_of_rows,
    caveats_of_training,
)
from ..recorded import collapse_caveats, representations, training_section
from ..scores import spreadsheet_cells
from ..scoring import Scored
from ..section import Column, Fact, Intervals, Rows, Section, Standing
from ..trials.measure import Measure
from .classification_trials import ClassificationMeasure

Classes = NDArray[np.int64]

_FEW = 5
_NAMED = 3


class ClassCalibration(Calibration):
    """What outputs are read by: the class that each logit stands for."""

    classes: list[Line]


@dataclass(frozen=True)
class ClassAssessment:
    """The figures of a classifier on samples of known class.

    Attributes:
        accuracy: share of the samples whose class is right.
        majority: what the class that is most frequent in training reaches on the same samples.
        majority_f1: macro F1 of always giving that class.
        by_class: by name, of each class that is there or is predicted.
        confusion: by true class, how many are predicted to be of each; in the order of `by_class`.
    """

    num: int
    accuracy: Estimate
    macro_f1: float
    majority: Estimate
    majority_f1: float
    majority_class: str
    by_class: Mapping[str, ClassFigures]
    confusion: NDArray[np.int64]


def assess_classes(true: Classes, predicted: Classes, *, train: Classes, names: Sequence[str]) -> ClassAssessment:
    """Judge predicted classes.

    Args:
        true: the class of each sample, by its place in `names`.
        predicted: what the model takes it for.
        train: the classes of the samples that the model was trained on.
        names: of the classes.

    Raises:
        MetricError: if there are no samples.
    """
    if not len(true):
        raise MetricError("There are no samples of known class to judge a classifier on; choose another split.")
    figures = class_figures(true, predicted)
    most = int(np.bincount(train).argmax())
    always = np.full_like(true, most)
    return ClassAssessment(
        num=len(true),
        accuracy=clopper_pearson(int(np.sum(true == predicted)), trials=len(true)),
        macro_f1=macro_f1(list(figures.values())),
        majority=clopper_pearson(int(np.sum(true == always)), trials=len(true)),
        majority_f1=macro_f1(list(class_figures(true, always).values())),
        majority_class=names[most],
        by_class={names[each]: found for each, found in figures.items()},
        confusion=confusion_counts(true, predicted, classes=list(figures)),
    )


_HEADLINE = (
    Headline("accuracy", "accuracy", "max", control="majority_accuracy"),
    Headline("macro_f1", "macro F1", "max", control="majority_macro_f1"),
    Headline("num_samples", "samples", None, told_in=("page",)),
)


@dataclass(frozen=True)
class ClassificationJudge:
    """Judges by accuracy and macro F1, from the output `logits`, (row, class), of the averaged weights."""

    task: str = "classification"
    headline: Sequence[Headline] = _HEADLINE
    measure: Measure = field(default_factory=ClassificationMeasure)
    outputs: tuple[str, ...] = ("logits",)
    of_scores: bool = False

    def kept_in(self, folder: RunFolder) -> ClassCalibration:
        return folder.read(folder.calibration_path, ClassCalibration)

    def calibrate(self, background: Background) -> ClassCalibration:
        names, folder = _classes_of(background), background.run.folder
        # Logits have no names: those of training are kept, and a data set that has others by now cannot be judged.
        if folder.calibration_path.exists() and self.kept_in(folder)["classes"] != names:
            raise MetricError(
                f"The classes of {background.store.path} are not those that {folder.path} was trained on: train again."
            )
        return ClassCalibration(task=self.task, rests_on=background.rests_on, classes=names)

    def assess(self, test: Scored, calibration: ClassCalibration, *, background: Background) -> Judgement:
        names, logits = calibration["classes"], test.outputs["logits"]
        if logits.shape[1] != len(names):
            raise MetricError(
                f"The model tells {logits.shape[1]} classes apart, and the data set has {len(names)}: train again."
            )
        classes, predicted = _codes(background), logits.argmax(axis=1).astype(np.int64)
        true, train = classes[test.rows.usable], classes[background.seen.train]
        found = assess_classes(true, predicted, train=train, names=names)
        watched = representations(background.run.metrics, best_epoch=background.best.epoch)
        warnings = (
            *caveats_of_rows(test, background),
            *caveats_of_training(background),
            *_caveats(found),
            *collapse_caveats(watched, num_normal=len(background.validation.table)),
            *caveats_of_completeness(test, background),
        )
        training = training_section(background.run.metrics, watched, headline=self.headline)
        return Judgement(
            sections=class_sections(found, warnings=warnings, training=training),
            warnings=warnings,
            table=test.table,
            threshold=None,
            columns={
                "key": spreadsheet_cells(test.table.keys),
                "split": spreadsheet_cells(test.table.splits),
                "class_name": spreadsheet_cells(test.table.class_names),
                "predicted": spreadsheet_cells([names[each] for each in predicted]),
                "confidence": softmax(logits, axis=1).max(axis=1).tolist(),
            },
            truth=true,
            answers=predicted.astype(np.float64),
        )


def _codes(background: Background) -> Classes:
    """The class of each row of the store by its number; -1 where it is not known."""
    return targets_of(background.store)["class"].astype(np.int64)


def _classes_of(background: Background) -> list[str]:
    """Names of the classes in the order of their numbers.

    Raises:
        MetricError: if the data set does not name its classes.
    """
    target = background.store.index.targets.get("class")
    if target is None or target.spec.classes is None:
        raise MetricError(
            f"{background.store.path} names no classes, so that nothing can be held against a classifier."
        )
    return list(target.spec.classes)


def _caveats(found: ClassAssessment) -> Iterator[str]:
    if found.accuracy.low <= found.majority.high:
        yield (
            f"The accuracy's interval ({span(found.accuracy)}) is not above that of always answering "
            f"{found.majority_class} ({span(found.majority)}): the model is not shown to tell the classes apart."
        )
    few = [name for name, each in found.by_class.items() if each.num < _FEW]
    if few:
        yield f"Fewer than {_FEW} samples of these classes were evaluated: {shortened(few, most=_NAMED)}."


def class_sections(found: ClassAssessment, *, warnings: Sequence[str], training: Section) -> tuple[Section, ...]:
    """Every section of a report on a classifier, in the order in which they are read."""
    standing, title = _verdict(found)
    headline = (
        Fact("accuracy", "Accuracy", found.accuracy, note=count_of(found.num, "sample")),
        Fact("majority_accuracy", "Majority control", found.majority, note=f"always {found.majority_class}"),
        Fact("macro_f1", "Macro F1", found.macro_f1, note="every class counts alike"),
        Fact("majority_macro_f1", "Macro F1 of the control", found.majority_f1),
        Fact("num_samples", None, found.num),
    )
    explanation = (
        f"Of 100 samples it gives about {100 * found.accuracy.value:.0f} their class; always answering "
        f"{found.majority_class}, the most frequent class in training, gets {100 * found.majority.value:.0f}."
    )
    by_class = (
        Column("class", "Class", of_text=True),
        Column("num", "n"),
        Column("recall", "found"),
        Column("precision", "right where predicted"),
        Column("f1", "F1"),
    )
    values = [(name, each.num, each.recall, each.precision, each.f1) for name, each in found.by_class.items()]
    recalls = [(f"{visible(name)} ({each.num})", each.recall) for name, each in found.by_class.items()]
    names = list(found.by_class)
    confusion = [(name, *counts) for name, counts in zip(names, found.confusion.tolist(), strict=True)]
    columns = (Column("true", "", of_text=True), *(Column(f"predicted_{name}", name) for name in names))
    figure = Intervals(
        "Share of each class that is found, with intervals",
        "share found (dashed: majority control over all)",
        [(name, recall, "model") for name, recall in recalls if recall is not None],
        chance=found.majority.value,
    )
    return (
        Section("headline", "The result", facts=headline, look="headline", brief=True),
        Section(
            "verdict",
            title,
            note=[explanation],
            points=warnings or ["No warning was raised."],
            look="verdict",
            standing=standing,
            brief=True,
        ),
        Section("by_class", "By class", rows=[Rows("by_class", by_class, values)], figures=[figure], brief=True),
        Section(
            "confusion", "True classes in rows, predicted ones in columns", rows=[Rows("counts", columns, confusion)]
        ),
        training,
        Section(
            "how",
            "How these numbers are made",
            note=[
                "Intervals are Clopper-Pearson's and take the samples as independent; samples of one session are not "
                "quite, so the truth is somewhat wider. Predictions come from the averaged (EMA) weights. The majority "
                "control always gives the class that is most frequent in training."
            ],
            look="folded",
        ),
    )


def _verdict(found: ClassAssessment) -> tuple[Standing, str]:
    if found.accuracy.low > found.majority.high:
        return "good", "The model beats always giving the most frequent class"
    if found.accuracy.value > found.majority.value:
        return "doubtful", "The model is not clearly better than always giving the most frequent class"
    return "bad", "The model does not beat always giving the most frequent class"
