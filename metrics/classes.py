"""How well classes are told apart: each class on its own, and all of them alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer

from .estimate import Estimate, clopper_pearson


@dataclass(frozen=True)
class ClassFigures:
    """One class against all others, among samples of known class.

    Attributes:
        num: samples of the class.
        num_found: of them, those that are predicted to be of it.
        num_predicted: samples that are predicted to be of it.
    """

    num: int
    num_found: int
    num_predicted: int

    @property
    def recall(self) -> Estimate | None:
        """Share of the class that is found, with its Clopper-Pearson interval; None where there is no such sample."""
        return clopper_pearson(self.num_found, trials=self.num) if self.num else None

    @property
    def precision(self) -> Estimate | None:
        """Share of those predicted that are of the class; None where none is predicted."""
        return clopper_pearson(self.num_found, trials=self.num_predicted) if self.num_predicted else None

    @property
    def f1(self) -> float:
        """Harmonic mean of recall and precision; 0 where none is found."""
        return 2 * self.num_found / (self.num + self.num_predicted)


def class_figures(
    true: Integer[np.ndarray, " samples"], predicted: Integer[np.ndarray, " samples"]
) -> dict[int, ClassFigures]:
    """Figures of each class that is there or is predicted, by its number."""
    return {
        int(each): ClassFigures(
            num=int(np.sum(true == each)),
            num_found=int(np.sum((true == each) & (predicted == each))),
            num_predicted=int(np.sum(predicted == each)),
        )
        for each in np.union1d(true, predicted)
    }


def macro_f1(figures: Sequence[ClassFigures]) -> float:
    """The mean of the F1 of each class: all count alike, however rare."""
    return float(np.mean([each.f1 for each in figures]))


def balanced_accuracy(figures: Sequence[ClassFigures]) -> float:
    """The mean of the share that is found of each class of which there are samples; chance is one over their number."""
    return float(np.mean([each.num_found / each.num for each in figures if each.num]))


def confusion_counts(
    true: Integer[np.ndarray, " samples"], predicted: Integer[np.ndarray, " samples"], *, classes: Sequence[int]
) -> Integer[np.ndarray, "classes classes"]:
    """How many samples of each class, in rows, are predicted to be of each, in columns."""
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    place = {each: position for position, each in enumerate(classes)}
    np.add.at(counts, ([place[int(each)] for each in true], [place[int(each)] for each in predicted]), 1)
    return counts
