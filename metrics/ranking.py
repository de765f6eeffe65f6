"""How scores rank defects above normals: AUROC with an interval that never shrinks to a point, ROC curve, average
precision.

Nothing here assumes that scores lie in [0, 1]: only their order counts. Orientation: higher = more anomalous.

DeLong's variance is by the midrank algorithm in O(n log n). Sources: DeLong, DeLong and Clarke-Pearson (1988),
Biometrics 44, 837-845; Sun and Xu (2014), "Fast implementation of DeLong's algorithm", IEEE Signal Processing Letters
21, 1389-1393.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer, Shaped
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from ..errors import MetricError
from .estimate import Estimate

# A judgement between two approximations. Simulated coverage of nominal 95 % intervals with 100 normals from N(0, 1),
# defects from a normal distribution and a true AUROC of 0.6 to 0.95, by the spread of the defects:
#   defects   DeLong, spread 0.5 / 1 / 2           Newcombe, spread 0.5 / 1 / 2
#         3   0.89-0.96 / 0.83-0.96 / 0.80-0.98    0.99-1.00 / 0.95-0.96 / 0.85-0.91
#        10   0.95 / 0.91-0.94 / 0.80-0.94         0.99-1.00 / 0.94-0.97 / 0.86-0.92
#        20   0.94-0.96 / 0.92-0.94 / 0.85-0.96    0.98-0.99 / 0.94-0.97 / 0.87-0.93
# Neither is safe where few defects spread far wider than the normals.
SMALLEST_CLASS_FOR_DELONG = 10


def require_finite(scores: Shaped[np.ndarray, " samples"]) -> Float64[np.ndarray, " samples"]:
    """The scores in double precision.

    Raises:
        MetricError: a score is NaN or infinite. Its rank would be a coin flip, so no metric is computed.
    """
    values = np.asarray(scores, dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(values))
    if broken.size:
        raise MetricError(
            f"{broken.size} of {values.size} scores are not finite (the first is {values[broken[0]]} at position "
            f"{broken[0]}): no metric is defined for them. Look for a diverged training or broken features."
        )
    return values


def part_by_label(
    scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]
) -> tuple[Float64[np.ndarray, " defects"], Float64[np.ndarray, " normals"]]:
    """The scores of defects (label 1) and of normals (label 0), in double precision.

    Raises:
        MetricError: a score is not finite, a label is neither 0 nor 1, or one of the two classes is empty.
    """
    values = require_finite(scores)
    if not ((labels == 0) | (labels == 1)).all():
        raise MetricError("Labels must be 0 (normal) or 1 (defect).")
    defects, normals = values[labels == 1], values[labels == 0]
    if not defects.size or not normals.size:
        raise MetricError(
            f"The scores hold {normals.size} normal and {defects.size} defect samples: a comparison of the two "
            "needs at least one of each. Evaluate a split that has both."
        )
    return defects, normals


def auroc(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> float:
    """Probability that a random defect (label 1) scores above a random normal (label 0); a tie counts one half.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    return float(_number_below(defects, normals).sum()) / (defects.size * normals.size)


def auroc_interval(
    scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"], *, confidence: float = 0.95
) -> Estimate:
    """AUROC with a two-sided interval inside [0, 1].

    With at least `SMALLEST_CLASS_FOR_DELONG` samples of each class: DeLong's variance on the logit scale, carried back
    (Pepe 2003, The Statistical Evaluation of Medical Tests, chapter 5). With fewer, or where DeLong's variance is
    zero (perfect separation, or all scores equal), it is often too narrow or a point: then Newcombe's score interval.
    Both are approximate for small classes, see the figures above.
    Samples count as independent; where they come in groups, `clustered.grouped_auroc` knows these.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    value = auroc(scores, labels)
    if min(defects.size, normals.size) < SMALLEST_CLASS_FOR_DELONG:
        return newcombe_interval(value, num_defect=defects.size, num_normal=normals.size, confidence=confidence)
    variance = delong_variance(scores, labels)
    if variance == 0 or value in (0, 1):
        return newcombe_interval(value, num_defect=defects.size, num_normal=normals.size, confidence=confidence)
    return logit_interval(value, standard_error=float(np.sqrt(variance)), quantile=float(ndtri(0.5 + confidence / 2)))


def logit_interval(value: float, *, standard_error: float, quantile: float) -> Estimate:
    """A share inside (0, 1) with `quantile` standard errors to either side on the logit scale, carried back."""
    centre, reach = logit(value), quantile * standard_error / (value * (1 - value))
    # Where the interval is narrower than rounding, the way through the logit may end on the wrong side of the value.
    low, high = float(expit(centre - reach)), float(expit(centre + reach))
    return Estimate(value, low=min(low, value), high=max(high, value))


def structural_components(
    scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]
) -> tuple[Float64[np.ndarray, " defects"], Float64[np.ndarray, " normals"]]:
    """For each defect the share of normals below it, and for each normal the share of defects above it; ties a half.

    Both have the AUROC as their mean. Over two models scored on the same samples, the covariances of these components
    give the paired test.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    return _number_below(defects, normals) / normals.size, 1 - _number_below(normals, defects) / defects.size


def _number_below(
    scores: Float64[np.ndarray, " samples"], others: Float64[np.ndarray, " others"]
) -> Float64[np.ndarray, " samples"]:
    """How many of the others are below each score; a tie counts one half."""
    order, ordered = np.argsort(scores), np.sort(others)
    # Sorted on both sides, the search goes through memory once; in any other order it jumps about.
    counts = sum(np.searchsorted(ordered, scores[order], side=side) for side in ("left", "right")) / 2
    found = np.empty(scores.size)
    found[order] = counts
    return found


def delong_variance(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> float:
    """Variance of the AUROC as an estimate; the standard error squared.

    Raises:
        MetricError: a score is not finite, or a class has fewer than two samples.
    """
    return float(delong_covariance(scores[np.newaxis], labels)[0, 0])


def delong_covariance(
    scores: Shaped[np.ndarray, "models samples"], labels: Integer[np.ndarray, " samples"]
) -> Float64[np.ndarray, "models models"]:
    """Covariances of the AUROCs of several models that scored the same samples.

    Models agree on which samples are hard, so their AUROCs err together, and a difference of two is known better than
    either.

    Raises:
        MetricError: a score is not finite, or a class has fewer than two samples.
    """
    components = [structural_components(row, labels) for row in scores]
    of_defects, of_normals = (np.stack(parts) for parts in zip(*components, strict=True))
    num_defect, num_normal = of_defects.shape[1], of_normals.shape[1]
    if min(num_defect, num_normal) < 2:
        raise MetricError(
            f"DeLong's variance needs two samples of each class, and there are {num_normal} normal and {num_defect} "
            "defect ones."
        )
    covariance = np.cov(of_defects) / num_defect + np.cov(of_normals) / num_normal
    return np.asarray(np.atleast_2d(covariance), dtype=np.float64)


def newcombe_interval(value: float, *, num_defect: float, num_normal: float, confidence: float = 0.95) -> Estimate:
    """Every true AUROC from which `value` lies within the normal quantile times its own standard error.

    For the AUROC what Wilson's interval is for a proportion; the two agree with one sample of each class. The variance
    is Hanley and McNeil's with both class sizes in its numerator replaced by their mean: method 5 of Newcombe (2006),
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in
    Medicine 25, 559-573. That is a model of the scores, so DeLong's variance is better where the classes are large.
    The numbers may be effective ones, not whole.
    """
    quantile = float(ndtri(0.5 + confidence / 2))
    surplus = (num_defect + num_normal) / 2 - 1

    def variance(truth: float) -> float:
        spread = (1 - truth) / (2 - truth) + truth / (1 + truth)
        return truth * (1 - truth) * (1 + surplus * spread) / (num_defect * num_normal)

    # The variance is the same at `truth` and `1 - truth`, so the upper end mirrors a lower one.
    low = _lower_end(value, variance=variance, quantile=quantile)
    high = 1 - _lower_end(1 - value, variance=variance, quantile=quantile)
    return Estimate(value, low=min(low, value), high=max(high, value))


def _lower_end(value: float, *, variance: Callable[[float], float], quantile: float) -> float:
    if value == 0:
        return 0.0

    def excess(truth: float) -> float:
        return (value - truth) ** 2 - quantile**2 * variance(truth)

    # At value = 1 the value itself is a second root, where both terms vanish; the bracket ends just below it.
    return float(brentq(excess, 0.0, value * (1 - 1e-12)))


@dataclass(frozen=True, eq=False)
class RocCurve:
    """False-alarm rate `fpr` and detection rate `tpr` for each cut between distinct scores, from (0, 0) to (1, 1)."""

    fpr: Float64[np.ndarray, " cuts"]
    tpr: Float64[np.ndarray, " cuts"]


def roc_curve(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> RocCurve:
    """The curve with one point a distinct score, from the strictest cut to the loosest; tied samples move together.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    cuts = np.unique(np.concatenate([defects, normals]))[::-1]
    at_or_above = [part.size - np.searchsorted(np.sort(part), cuts, side="left") for part in (normals, defects)]
    fpr, tpr = (np.concatenate([[0.0], counts / counts[-1]]) for counts in at_or_above)
    return RocCurve(fpr=fpr, tpr=tpr)


def fpr_at_tpr(
    scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"], *, tpr: float = 0.95
) -> float:
    """The lowest false-alarm rate with which at least the share `tpr` of the defects is found; no interpolation.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    curve = roc_curve(scores, labels)
    # A share such as 19/20 may fall short of 0.95 by rounding alone.
    return float(curve.fpr[curve.tpr >= tpr - 1e-12].min())


def equal_error_rate(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> float:
    """Where the ROC curve, its points joined by straight lines, has as large a share of misses as of false alarms.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    curve = roc_curve(scores, labels)
    surplus = curve.fpr + curve.tpr - 1  # ascends from -1 to 1
    after = int(np.argmax(surplus >= 0))
    share = -surplus[after - 1] / (surplus[after] - surplus[after - 1])
    return float(curve.fpr[after - 1] + share * (curve.fpr[after] - curve.fpr[after - 1]))


def average_precision(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> float:
    """Mean precision over the steps of recall, defects being the positives; tied samples form one step.

    Its chance level is the share of defects, so it says little where nearly all samples are defects.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    cuts, defects_at_cut = np.unique(defects, return_counts=True)
    defects_found = defects.size - np.searchsorted(np.sort(defects), cuts, side="left")
    false_alarms = normals.size - np.searchsorted(np.sort(normals), cuts, side="left")
    precision = defects_found / (defects_found + false_alarms)
    return float(np.sum(precision * defects_at_cut) / defects.size)
