"""How well many values are told of which each sample has any number, such as attributes that are present or absent.

Each value is judged on the samples of which it is known. Means take every value alike, and their intervals are for
other samples of the same values: the jackknife that leaves out a part of the samples at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Integer
from numpy.typing import NDArray

from .clustered import group_numbers
from .estimate import Estimate
from .streamed import jackknife_interval

# Parts of the samples, one of which is left out at a time. Coverage of nominal 95 % intervals in 300 simulations of 300
# samples with 4 values: AUROC 0.94 to 0.95, F1 and accuracy 0.93 to 0.95, average precision 0.94, and 0.91 of a model
# that knows nothing.
_NUM_PARTS = 20
_LIKELY = 0.5  # the chance from which on a value is said to be present


@dataclass(frozen=True, eq=False)
class MultilabelFigures:
    """Each value on the samples of which it is known; NaN where these leave a figure open.

    Attributes:
        num_known: samples of which the value is known.
        prevalence: share of these that have it: the chance level of `ap`.
        auroc: NaN where all of them have it, or none.
        ap: average precision; NaN as `auroc`.
        f1: of the samples whose chance is 0.5 or more; NaN as `auroc`.
        accuracy: share of the known samples that are told right, with the same threshold.
        usual_accuracy: the same for always giving the answer that is more frequent in training.
        means: of `auroc`, `ap`, `f1` and `accuracy` over all values that have an AUROC; empty where none has.
    """

    num_known: Int64[np.ndarray, " values"]
    prevalence: Float64[np.ndarray, " values"]
    auroc: Float64[np.ndarray, " values"]
    ap: Float64[np.ndarray, " values"]
    f1: Float64[np.ndarray, " values"]
    accuracy: Float64[np.ndarray, " values"]
    usual_accuracy: Float64[np.ndarray, " values"]
    means: dict[str, Estimate]

    @property
    def ranked(self) -> Bool[np.ndarray, " values"]:
        """Which values some known samples have and others have not."""
        ranked: NDArray[np.bool_] = np.isfinite(self.auroc)
        return ranked


def multilabel_figures(
    chances: Float[np.ndarray, "samples values"],
    truth: Integer[np.ndarray, "samples values"],
    *,
    usual: Bool[np.ndarray, " values"],
    groups: Sequence[str],
    generator: np.random.Generator,
) -> MultilabelFigures:
    """Judge the chances that a model gives each value of each sample.

    Args:
        truth: 1 present, 0 absent, -1 not known.
        usual: of each value the answer that is more frequent in training.
        groups: of each sample the group that it comes from, "" where unknown; a group is left out as a whole.
        generator: deals the groups out among the parts that are left out.
    """
    numbers = group_numbers(groups)
    part = generator.permutation(np.arange(len(np.unique(numbers))) % _NUM_PARTS)[numbers]
    # The first row keeps all samples, and each other one leaves a part out.
    kept = np.concatenate([np.ones((1, len(part)), bool), np.arange(part.max(initial=0) + 1)[:, None] != part])
    of_values = [
        _figures_of_one(column[known], present[known] == 1, kept=kept[:, known])
        for column, present in zip(chances.T, truth.T, strict=True)
        for known in [present >= 0]
    ]
    figures = {name: np.array([each[name] for each in of_values]).T for name in ("auroc", "ap", "f1", "accuracy")}
    known = truth >= 0
    num_known = known.sum(axis=0)
    whole = {name: values[0] for name, values in figures.items()}
    ranked = np.isfinite(whole["auroc"])
    with np.errstate(invalid="ignore"):
        prevalence = (truth == 1).sum(axis=0) / num_known
        usual_accuracy = (known & ((truth == 1) == usual)).sum(axis=0) / num_known
    return MultilabelFigures(
        num_known=num_known,
        prevalence=prevalence,
        usual_accuracy=usual_accuracy,
        means={name: _mean(values[:, ranked]) for name, values in figures.items()} if ranked.any() else {},
        **whole,
    )


def _figures_of_one(
    chances: Float[np.ndarray, " samples"],
    present: Bool[np.ndarray, " samples"],
    *,
    kept: Bool[np.ndarray, "parts samples"],
) -> dict[str, Float64[np.ndarray, " parts"]]:
    """The figures of one value by the samples that each part keeps; NaN where they leave one open."""
    order = np.argsort(-chances, kind="stable")
    ranked, weights = chances[order], kept[:, order].astype(np.float64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)) if len(ranked) else np.empty(0, np.int64)
    # Samples of equal chances are one step: how many of each kind lie in it, and in all steps so far.
    true, false = ((weights * kind[order]).cumsum(axis=1)[:, last] for kind in (present, ~present))
    true_here, false_here = (np.diff(counts, axis=1, prepend=0) for counts in (true, false))
    num_true, num_false = true_here.sum(axis=1), false_here.sum(axis=1)
    above = ranked[last] >= _LIKELY
    found, alarms = true_here[:, above].sum(axis=1), false_here[:, above].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Every present one beats the absent ones of the steps below its own, and half of those in it.
        wins = true_here * (num_false[:, None] - false + false_here / 2)
        precision = np.where(true > 0, true / (true + false), 0.0)
        auroc = wins.sum(axis=1) / (num_true * num_false)
        either = np.where(np.isfinite(auroc), 1.0, np.nan)
        return {
            "auroc": auroc,
            "ap": either * (precision * true_here).sum(axis=1) / num_true,
            "f1": either * 2 * found / (num_true + found + alarms),
            "accuracy": (found + num_false - alarms) / (num_true + num_false),
        }


def _mean(figures: Float64[np.ndarray, "parts values"]) -> Estimate:
    """Over the values; where a part leaves one open, it stands as it is of all samples, which adds no spread."""
    whole = figures[0]
    without = np.where(np.isfinite(figures[1:]), figures[1:], whole).mean(axis=1)
    return jackknife_interval(float(whole.mean()), without)
