"""What normals of a calibration promise of new samples: p-values, many of them at once, and false-alarm rates.

A conformal p-value is the share of normals, the new sample counted among them, that score at least as high. Of a new
normal that is exchangeable with those of the calibration it is at most a with probability a or less, whatever the
model and however few normals there are: Bates, Candes, Lei, Romano and Sesia (2023), "Testing for outliers with
conformal p-values", Annals of Statistics 51, 149-178. No p-value is below 1/(n + 1). Samples of one group are not
exchangeable with those of others, so where groups are known a promise counts groups, each by its highest score.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped
from scipy.stats import beta, binom

from ..errors import MetricError
from .clustered import group_numbers
from .ranking import require_finite

CONFIDENCE = 0.90  # with which a promised false-alarm rate holds


def p_values(
    scores: Shaped[np.ndarray, " samples"], *, calibration: Shaped[np.ndarray, " normals"]
) -> Float64[np.ndarray, " samples"]:
    """(1 + how many of the n calibration normals score at least as high) / (n + 1), of each sample.

    Raises:
        MetricError: a score is not finite.
    """
    bank = np.sort(require_finite(calibration))
    at_least = bank.size - np.searchsorted(bank, require_finite(scores), side="left")
    return np.asarray((1 + at_least) / (bank.size + 1), dtype=np.float64)


def benjamini_hochberg(p: Shaped[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Adjusted p-values: those at most q are a set of which in the mean at most the share q is false.

    For independent tests, and for conformal p-values of one calibration (Bates et al.). Source: Benjamini and Hochberg
    (1995), Journal of the Royal Statistical Society B 57, 289-300.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")[::-1]
    ranks = np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(values[order] * values.size / ranks))
    return adjusted


def holm(p: Shaped[np.ndarray, " tests"]) -> Float64[np.ndarray, " tests"]:
    """Adjusted p-values: of those at most a, with probability 1 - a none is false, however the tests depend.

    Source: Holm (1979), Scandinavian Journal of Statistics 6, 65-70.
    """
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty_like(values)
    left = np.arange(values.size, 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * left))
    return adjusted


def rank_that_holds(num: int, *, rate: float, confidence: float = CONFIDENCE) -> int | None:
    """Which of `num` independent normals' scores, counted from the highest as 1, is a threshold that at most the share
    `rate` of all normals exceeds, with `confidence`; None where even the highest does not promise that.

    The share above the r-th highest is Beta(r, num - r + 1) distributed, so that it is at most `rate` as often as a
    binomial number with that probability is at least r.
    """
    rank = int(binom.ppf(1 - confidence, num, rate))
    while binom.sf(rank - 1, num, rate) < confidence:  # at most one step: the quantile itself may fall short
        rank -= 1
    return rank if rank > 0 else None


def num_needed(rate: float, *, confidence: float = CONFIDENCE) -> int:
    """How many independent normals it takes for the highest of their scores to hold `rate` with `confidence`."""
    return math.ceil(math.log1p(-confidence) / math.log1p(-rate) - 1e-9)


def rate_held(num_above: int, *, num: int, confidence: float = CONFIDENCE) -> float:
    """The false-alarm rate that a threshold with `num_above` of `num` independent normals above it does not exceed,
    with `confidence`; 1 where all are above."""
    return float(beta.ppf(confidence, num_above + 1, num - num_above)) if num_above < num else 1.0


@dataclass(frozen=True)
class Promise:
    """What normals of a calibration promise of a threshold.

    Attributes:
        num: independent normals: groups, where these are known.
        num_above: of them, those above the threshold, a group by its highest score.
        rate: the false-alarm rate that is not exceeded with `CONFIDENCE`.
        num_needed: independent normals that it takes to promise the target at all.
        threshold: one that promises the target, and the lowest such; None where there are too few.
    """

    num: int
    num_above: int
    rate: float
    num_needed: int
    threshold: float | None


def promise(
    scores: Shaped[np.ndarray, " normals"], *, groups: Sequence[str], threshold: float, target_fpr: float
) -> Promise:
    """What these normals promise, a group of several counting once, by its highest score.

    A sample of a group exceeds a threshold no oftener than the highest of its group, so that what holds of these holds
    of samples too, where groups are of one size or size says nothing of the scores.

    Raises:
        MetricError: a score is not finite, there are none, or the target is outside (0, 1).
    """
    values = require_finite(scores)
    if not values.size or not 0 < target_fpr < 1:
        raise MetricError("A promise takes scores of normals, and a target false-alarm rate above 0 and below 1.")
    numbers = group_numbers(groups)
    highest = np.full(int(numbers.max()) + 1, -np.inf)
    np.maximum.at(highest, numbers, values)
    num_above, num = int(np.count_nonzero(highest > threshold)), highest.size
    rank = rank_that_holds(num, rate=target_fpr)
    return Promise(
        num=num,
        num_above=num_above,
        rate=rate_held(num_above, num=num),
        num_needed=num_needed(target_fpr),
        threshold=None if rank is None else float(np.sort(highest)[-rank]),
    )
