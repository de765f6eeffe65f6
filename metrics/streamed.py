"""Ranking figures of more scores than memory holds: they are counted in bins as they come, by group.

65,536 bins keep the order of scores, 128 between a number and its double, so that only scores which agree to about two
digits count as equal; how far that may move an AUROC is told beside it. Memory grows with the bins and the groups, not
with the scores.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer
from numpy.typing import NDArray
from scipy.stats import t

from .estimate import Estimate
from .ranking import logit_interval
from .score_bins import LeadingBits

_BINNING = LeadingBits(np.dtype(np.float32), leading=16)
_FROM_THE_TOP = _BINNING.from_the_top()
_TPR = 0.95
_FEWEST = 3  # groups for an interval


@dataclass(frozen=True)
class RankingFigures:
    """How well scores rank positives above negatives.

    Attributes:
        auroc: equal scores count half.
        auroc_tolerance: how far that may be from the AUROC of the scores themselves, as those of one bin are taken for
            equal.
        ap: average precision; chance gives the share of positives.
        fpr_at_95_tpr: share of the negatives above the highest threshold that finds 95 % of the positives.
        recall: share of the positives that are found with a share of at most `budget` of the negatives.
        threshold: the lowest score that such a threshold lets through.
    """

    auroc: float
    auroc_tolerance: float
    ap: float
    fpr_at_95_tpr: float
    recall: float
    threshold: float
    budget: float


class ScoreCounts:
    """How many negatives and positives have a score in each bin, the highest first."""

    def __init__(self, counts: Int64[np.ndarray, "2 bins"] | None = None) -> None:
        self.counts = np.zeros((2, _BINNING.num_bins), dtype=np.int64) if counts is None else counts

    def add(self, scores: Float[np.ndarray, " scores"], labels: Integer[np.ndarray, " scores"]) -> None:
        """Count finite scores with labels of 0 and 1; others are passed over."""
        known = np.isfinite(scores) & ((labels == 0) | (labels == 1))
        bins = _BINNING(scores[known].astype(np.float32))
        for label in (0, 1):
            found = np.bincount(bins[labels[known] == label], minlength=_BINNING.num_bins)
            self.counts[label] += found[_FROM_THE_TOP]

    @property
    def num_negatives(self) -> int:
        return int(self.counts[0].sum())

    @property
    def num_positives(self) -> int:
        return int(self.counts[1].sum())

    @property
    def has_both(self) -> bool:
        """Whether there is anything to rank."""
        return self.num_negatives > 0 and self.num_positives > 0

    def figures(self, *, budget: float) -> RankingFigures:
        """The figures; there must be both positives and negatives."""
        assert self.has_both
        held = np.flatnonzero(self.counts.any(axis=0))
        negatives, positives = self.counts[:, held].astype(np.float64)
        false, true = negatives.cumsum(), positives.cumsum()
        num_false, num_true = false[-1], true[-1]
        # Every positive beats the negatives of the bins below its own, and half of those in it.
        wins = positives @ (num_false - false + negatives / 2)
        precision = true / (true + false)
        threshold = self.threshold(budget)
        recall = self.share_above(threshold)[1]
        return RankingFigures(
            auroc=float(wins / (num_false * num_true)),
            auroc_tolerance=float(positives @ negatives / (2 * num_false * num_true)),
            ap=float(precision @ positives / num_true),
            fpr_at_95_tpr=float(false[np.searchsorted(true, _TPR * num_true)] / num_false),
            recall=0.0 if recall is None else recall,
            threshold=threshold,
            budget=budget,
        )

    def threshold(self, budget: float) -> float:
        """The lowest score above which lies a share of at most `budget` of the negatives, as far as bins tell; infinite
        where the highest bin holds more."""
        held = np.flatnonzero(self.counts.any(axis=0))
        within = np.flatnonzero(self.counts[0, held].cumsum() <= budget * self.num_negatives)
        lowest, _ = _BINNING.ends(_FROM_THE_TOP[held])
        return float(lowest[within[-1]]) if len(within) else float(np.inf)

    def share_above(self, threshold: float) -> tuple[float | None, float | None]:
        """The shares of negatives and of positives in bins that begin at a threshold or above; None where there are
        none of them."""
        lowest, _ = _BINNING.ends(_FROM_THE_TOP)
        above = self.counts[:, lowest >= threshold].sum(axis=1)
        totals = self.counts.sum(axis=1)
        negatives, positives = (float(a / n) if n else None for a, n in zip(above, totals, strict=True))
        return negatives, positives


def together(parts: Iterable[ScoreCounts]) -> ScoreCounts:
    """The counts of all parts."""
    whole = ScoreCounts()
    for part in parts:
        whole.counts += part.counts
    return whole


def micro_figures(
    by_group: Mapping[str, ScoreCounts], *, budget: float
) -> tuple[RankingFigures, Mapping[str, Estimate]]:
    """Figures of the scores of all groups together, and intervals of `auroc`, `ap`, `fpr_at_95_tpr` and `recall`.

    Intervals are for other groups: the jackknife that leaves out a group at a time, on the logit scale, with the t
    distribution of as many degrees of freedom as groups less one. Fewer than 3 groups say nothing: 0 to 1.
    """
    whole = together(by_group.values())
    found = whole.figures(budget=budget)
    left = [ScoreCounts(whole.counts - part.counts) for part in by_group.values()]
    without = [each.figures(budget=budget) for each in left if each.has_both]
    names = ("auroc", "ap", "fpr_at_95_tpr", "recall")
    return found, {
        name: jackknife_interval(getattr(found, name), np.array([getattr(each, name) for each in without]))
        for name in names
    }


def macro_figures(by_group: Mapping[str, ScoreCounts], *, budget: float) -> tuple[int, Mapping[str, Estimate]]:
    """Means over the groups that have both positives and negatives, each group alike, how many these are, and intervals
    for other groups by the t distribution."""
    each = [part.figures(budget=budget) for part in by_group.values() if part.has_both]
    names = ("auroc", "ap", "fpr_at_95_tpr", "recall")
    return len(each), {name: _mean(np.array([getattr(one, name) for one in each])) for name in names} if each else {}


def jackknife_interval(value: float, without: NDArray[np.float64]) -> Estimate:
    """A share with the interval that the jackknife gives it; `without` is what it is where each part is left out."""
    num = len(without)
    if num < _FEWEST:
        return Estimate(value, 0.0, 1.0)
    error = float(np.sqrt((num - 1) / num * np.square(without - without.mean()).sum()))
    quantile = float(t.ppf(0.975, num - 1))
    if 0 < value < 1:
        return logit_interval(value, standard_error=error, quantile=quantile)
    return Estimate(value, max(0.0, value - quantile * error), min(1.0, value + quantile * error))


def _mean(values: NDArray[np.float64]) -> Estimate:
    value, num = float(values.mean()), len(values)
    if num < _FEWEST:
        return Estimate(value, 0.0, 1.0)
    reach = float(t.ppf(0.975, num - 1) * values.std(ddof=1) / np.sqrt(num))
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
