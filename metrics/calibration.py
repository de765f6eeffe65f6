"""Probabilities out of scores or logits, fitted on validation, and how far they can be taken at their word.

Fitted by maximum likelihood: a logistic curve over scores (Platt 1999), a rising step curve over scores (isotonic
regression), a temperature for logits (Guo, Pleiss, Sun and Weinberger 2017, ICML, "On calibration of modern neural
networks"). A probability is calibrated where of the samples that get it that share is what it says. It carries the
share of defects of the samples that it was fitted on.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Integer, Shaped
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize, minimize_scalar
from scipy.special import expit, log_expit, log_softmax

from .estimate import Estimate, clopper_pearson
from .ranking import part_by_label, require_finite

NUM_BINS = 10


@dataclass(frozen=True)
class LogisticCurve:
    """Probabilities of scores: the logistic function of `slope * (score - centre) + offset`."""

    slope: float
    centre: float
    offset: float

    def at(self, scores: Shaped[np.ndarray, " samples"]) -> Float64[np.ndarray, " samples"]:
        """The probability of each score; raises what `require_finite` raises."""
        return np.asarray(expit(self.slope * (require_finite(scores) - self.centre) + self.offset))


@dataclass(frozen=True, eq=False)
class RisingCurve:
    """Probabilities of scores that never fall: straight between the corners, level outside of them."""

    scores: Float64[np.ndarray, " corners"]
    shares: Float64[np.ndarray, " corners"]

    def at(self, scores: Shaped[np.ndarray, " samples"]) -> Float64[np.ndarray, " samples"]:
        """The probability of each score; raises what `require_finite` raises."""
        return np.asarray(np.interp(require_finite(scores), self.scores, self.shares))


def logistic_curve(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> LogisticCurve:
    """Platt's: a logistic function of the score, fitted to targets a little inside 0 and 1, so that it is defined where
    the classes are apart.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    values = require_finite(scores)
    centre, spread = float(np.mean(values)), float(np.std(values)) or 1.0
    targets = np.where(labels == 1, (defects.size + 1) / (defects.size + 2), 1 / (normals.size + 2))
    values = (values - centre) / spread

    def loss(parameters: NDArray[np.float64]) -> float:
        margin = parameters[0] * values + parameters[1]
        return -float(np.sum(targets * log_expit(margin) + (1 - targets) * log_expit(-margin)))

    def gradient(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        error = expit(parameters[0] * values + parameters[1]) - targets
        return np.array([float(error @ values), float(error.sum())])

    slope, offset = minimize(loss, np.zeros(2), jac=gradient, method="BFGS").x
    return LogisticCurve(slope=float(slope) / spread, centre=centre, offset=float(offset))


def isotonic_curve(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> RisingCurve:
    """The rising curve with the least squared error, straight between the scores that it was fitted on.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    part_by_label(scores, labels)
    values, places, counts = np.unique(require_finite(scores), return_inverse=True, return_counts=True)
    fitted = isotonic_regression(np.bincount(places, weights=labels) / counts, weights=counts).x
    # Inside a level part nothing but its two ends is needed.
    steps = np.diff(fitted, prepend=-1.0, append=2.0) != 0
    corners = steps[:-1] | steps[1:]
    return RisingCurve(values[corners], fitted[corners])


def temperature(logits: Float64[np.ndarray, "samples classes"], classes: Integer[np.ndarray, " samples"]) -> float:
    """By what to divide logits so that their softmax makes the classes the likeliest, between 0.01 and 100; there is
    no such number where every sample is right."""

    def loss(logarithm: float) -> float:
        likely = log_softmax(logits / np.exp(logarithm), axis=1)
        return -float(np.mean(likely[np.arange(len(classes)), classes]))

    reach = float(np.log(100))
    return float(np.exp(minimize_scalar(loss, bounds=(-reach, reach), method="bounded").x))


def class_brier(
    probabilities: Float64[np.ndarray, "samples classes"], classes: Integer[np.ndarray, " samples"]
) -> float:
    """Brier's score over all classes: mean over the samples of the squared errors summed over the classes, 0 to 2."""
    came_true = np.arange(probabilities.shape[1]) == classes[:, np.newaxis]
    return float(np.mean(np.sum((probabilities - came_true) ** 2, axis=1)))


@dataclass(frozen=True)
class Bin:
    """Samples whose probabilities lie in one part of [0, 1]: their mean, and the share that it came true for."""

    mean: float
    share: Estimate
    num: int


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be taken at their word.

    Attributes:
        brier: mean squared error of the probabilities.
        ece: expected calibration error: mean distance between probability and share over the bins, by their samples.
        bins: those of `NUM_BINS` equal parts of [0, 1] that hold samples.
    """

    brier: float
    ece: float
    bins: tuple[Bin, ...]


def reliability(probabilities: Float64[np.ndarray, " samples"], came_true: Bool[np.ndarray, " samples"]) -> Reliability:
    """Hold probabilities against what came true; the shares have Clopper-Pearson intervals."""
    places = np.minimum((probabilities * NUM_BINS).astype(np.int64), NUM_BINS - 1)
    bins = []
    for place in np.unique(places):
        inside = places == place
        share = clopper_pearson(int(came_true[inside].sum()), trials=int(inside.sum()))
        bins.append(Bin(float(probabilities[inside].mean()), share, int(inside.sum())))
    return Reliability(
        brier=float(np.mean((probabilities - came_true) ** 2)),
        ece=sum(each.num * abs(each.mean - each.share.value) for each in bins) / len(probabilities),
        bins=tuple(bins),
    )
