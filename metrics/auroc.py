"""Area under the ROC curve by midranks, with an interval that never shrinks to a point.

Nothing here assumes that scores lie in [0, 1]: only their order counts. Orientation: higher = more anomalous.
"""

import numpy as np
from jaxtyping import Integer, Shaped
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from .delong import delong_variance
from .estimate import Estimate
from .grouping import part_by_label
from .newcombe import newcombe_interval

# A judgement between two approximations. Simulated coverage of nominal 95 % intervals with 100 normals from N(0, 1),
# defects from a normal distribution and a true AUROC of 0.6 to 0.95, by the spread of the defects:
#   defects   DeLong, spread 0.5 / 1 / 2           Newcombe, spread 0.5 / 1 / 2
#         3   0.89-0.96 / 0.83-0.96 / 0.80-0.98    0.99-1.00 / 0.95-0.96 / 0.85-0.91
#        10   0.95 / 0.91-0.94 / 0.80-0.94         0.99-1.00 / 0.94-0.97 / 0.86-0.92
#        20   0.94-0.96 / 0.92-0.94 / 0.85-0.96    0.98-0.99 / 0.94-0.97 / 0.87-0.93
# Neither is safe where few defects spread far wider than the normals.
SMALLEST_CLASS_FOR_DELONG = 10


def auroc(scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]) -> float:
    """Probability that a random defect (label 1) scores above a random normal (label 0); a tie counts one half.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    ranks = rankdata(np.concatenate([defects, normals]))
    wins = float(ranks[: defects.size].sum()) - defects.size * (defects.size + 1) / 2
    return wins / (defects.size * normals.size)


def auroc_interval(
    scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"], *, confidence: float = 0.95
) -> Estimate:
    """AUROC with a two-sided interval inside [0, 1].

    With at least `SMALLEST_CLASS_FOR_DELONG` samples of each class: DeLong's variance on the logit scale, carried back
    (Pepe 2003, The Statistical Evaluation of Medical Tests, chapter 5). With fewer, or where DeLong's variance is
    zero (perfect separation, or all scores equal), it is often too narrow or a point: then Newcombe's score interval.
    Both are approximate for small classes, see the figures above.
    Samples count as independent; where they come in sessions the truth is wider.

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
    return logit_interval(
        value, standard_error=float(np.sqrt(variance)), quantile=float(norm.ppf(0.5 + confidence / 2))
    )


def logit_interval(value: float, *, standard_error: float, quantile: float) -> Estimate:
    """A share inside (0, 1) with `quantile` standard errors to either side on the logit scale, carried back."""
    centre, reach = logit(value), quantile * standard_error / (value * (1 - value))
    # Where the interval is narrower than rounding, the way through the logit may end on the wrong side of the value.
    low, high = float(expit(centre - reach)), float(expit(centre + reach))
    return Estimate(value, low=min(low, value), high=max(high, value))
