"""Alarm thresholds: taken from normal samples alone, what they do to others, and how well they hold on these.

A sample raises an alarm where its score is strictly above the threshold. Test labels, and defects, have no say in it.

A threshold that `k` of `n` reference normals exceed is one of the reference scores, so it is itself uncertain: the
share of all normals above it is Beta(k + 1, n - k) distributed, and the number among new ones beta-binomial (David and
Nagaraja 2003, Order Statistics). Ties make this approximate.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, Shaped
from scipy.stats import beta, betabinom

from ..errors import MetricError
from .estimate import Estimate, clopper_pearson
from .ranking import part_by_label, require_finite


def normal_quantile_threshold(normal_scores: Shaped[np.ndarray, " normals"], *, target_fpr: float) -> float:
    """The smallest threshold above which at most the share `target_fpr` of the normals lies.

    Always one of the scores. With fewer than `1 / target_fpr` normals no alarm is affordable, and it is the highest.

    Raises:
        MetricError: there are no normals, a score is not finite, or `target_fpr` is outside [0, 1).
    """
    if not 0 <= target_fpr < 1:
        raise MetricError(f"A target false-alarm rate is at least 0 and below 1, not {target_fpr}.")
    values = np.sort(require_finite(normal_scores))
    if not values.size:
        raise MetricError("A threshold needs scores of normal validation samples, and there are none.")
    # 0.29 * 100 is 28.999999999999996: rounding must not cost the twenty-ninth affordable alarm.
    affordable_alarms = math.floor(target_fpr * values.size + 1e-9)
    return float(values[values.size - 1 - affordable_alarms])


@dataclass(frozen=True)
class Confusion:
    """Numbers of samples by label (normal or defect) and by alarm; there is at least one of each label."""

    detected: int
    missed: int
    false_alarms: int
    passed: int

    @property
    def recall(self) -> Estimate:
        """Share of the defects that raise an alarm, with its Clopper-Pearson interval."""
        return clopper_pearson(self.detected, trials=self.detected + self.missed)

    @property
    def fpr(self) -> Estimate:
        """Share of the normals that raise an alarm, with its Clopper-Pearson interval."""
        return clopper_pearson(self.false_alarms, trials=self.false_alarms + self.passed)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the shares judged rightly among normals and among defects; 0.5 by chance whatever the prevalence."""
        return (self.recall.value + 1 - self.fpr.value) / 2

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where no alarm is right."""
        return 2 * self.detected / (2 * self.detected + self.false_alarms + self.missed)


def confusion_at(
    threshold: float, *, scores: Shaped[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]
) -> Confusion:
    """Count the alarms, scores strictly above `threshold`, among defects and normals.

    Raises:
        MetricError: a score is not finite, or a class is empty.
    """
    defects, normals = part_by_label(scores, labels)
    detected, false_alarms = (int(np.count_nonzero(part > threshold)) for part in (defects, normals))
    return Confusion(
        detected=detected,
        missed=defects.size - detected,
        false_alarms=false_alarms,
        passed=normals.size - false_alarms,
    )


def exceedance_rate(num_reference_above: float, *, num_reference: float, confidence: float = 0.95) -> Estimate:
    """Share of all normals above the threshold: its mean over repeated draws of the reference, and where it lies.

    The numbers may be effective ones, not whole. Where every reference normal is above, the threshold is none of their
    scores, and the share is at least that of the lowest.
    """
    tail = (1 - confidence) / 2
    if num_reference_above >= num_reference:
        return Estimate(1.0, low=float(beta.ppf(tail, num_reference, 1)), high=1.0)
    share = beta(num_reference_above + 1, num_reference - num_reference_above)
    return Estimate(float(share.mean()), low=float(share.ppf(tail)), high=float(share.ppf(1 - tail)))


def exceedance_p_value(num_above: int, *, num_new: int, num_reference_above: int, num_reference: int) -> float:
    """Two-sided probability of a count at least as odd as `num_above`, if new and reference normals are alike.

    A Clopper-Pearson interval of the new share takes the threshold as known, and so misses the target too often: at
    5 % and 122 normals on both sides, 15 % of the time.
    """
    above = betabinom(num_new, num_reference_above + 1, num_reference - num_reference_above)
    return float(min(1.0, 2 * min(above.cdf(num_above), above.sf(num_above - 1))))
