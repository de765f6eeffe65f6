"""Alarm thresholds from the scores of normal samples alone: test labels, and defects, have no say.

A sample raises an alarm where its score is strictly above the threshold.
"""

import math

import numpy as np
from jaxtyping import Shaped

from ..errors import MetricError
from .grouping import require_finite


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
