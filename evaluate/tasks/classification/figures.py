"""The figures of a classifier on samples of known class, from classes alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ....errors import MetricError
from ....metrics.classes import ClassFigures, balanced_accuracy, class_figures, confusion_counts, macro_f1
from ....metrics.clustered import grouped_share
from ....metrics.estimate import Estimate
from ....metrics.p_value import Permutation
from .controls import ClassControl, Classes
from .modalities import DealtModality
from .predicted_values import PredictedValues


@dataclass(frozen=True)
class ClassAssessment:
    """The figures of a classifier on samples of known class.

    Attributes:
        accuracy: share of the samples whose class is right.
        balanced_accuracy: mean of the shares that are found of the classes that are there.
        majority: what the class that is most frequent in training reaches on the same samples.
        majority_f1: macro F1 of always giving that class.
        by_class: by name, of each class that is there or is predicted.
        confusion: by true class, how many are predicted to be of each; in the order of `by_class`.
        controls: what other things than the samples' features tell of their classes.
        permutation: what the model's answers reach where the true classes are dealt out anew; None where nobody asked.
        modalities: what they reach where the samples have a modality of one another.
        oracles: features that the model reads and that nobody knows of a new sample.
        predicted: other targets that the model predicts.
    """

    num: int
    accuracy: Estimate
    macro_f1: float
    balanced_accuracy: float
    majority: Estimate
    majority_f1: float
    majority_class: str
    by_class: Mapping[str, ClassFigures]
    confusion: NDArray[np.int64]
    controls: Sequence[ClassControl] = ()
    permutation: Permutation | None = None
    modalities: Sequence[DealtModality] = ()
    oracles: Sequence[str] = ()
    predicted: Sequence[PredictedValues] = ()


def assess_classes(
    true: Classes, predicted: Classes, *, train: Classes, names: Sequence[str], groups: Sequence[str]
) -> ClassAssessment:
    """Judge predicted classes.

    Args:
        true: the class of each sample, by its place in `names`.
        predicted: what the model takes it for.
        train: the classes of the samples that the model was trained on.
        names: of the classes.
        groups: of each sample the group that it comes from, "" where unknown.

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
        accuracy=grouped_share(true == predicted, groups=groups),
        macro_f1=macro_f1(list(figures.values())),
        balanced_accuracy=balanced_accuracy(list(figures.values())),
        majority=grouped_share(true == always, groups=groups),
        majority_f1=macro_f1(list(class_figures(true, always).values())),
        majority_class=names[most],
        by_class={names[each]: found for each, found in figures.items()},
        confusion=confusion_counts(true, predicted, classes=list(figures)),
    )
