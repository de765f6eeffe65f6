"""Average precision: the area under the precision-recall steps."""

import numpy as np
from jaxtyping import Integer, Shaped

from .grouping import part_by_label


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
