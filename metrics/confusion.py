"""Alarms at a threshold, counted against the labels."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, Shaped

from .binomial import clopper_pearson
from .estimate import Estimate
from .grouping import part_by_label


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
