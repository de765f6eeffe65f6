"""How scores rank defects above normals, cut by cut: ROC curve, false alarms at a detection rate, average precision."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Integer, Shaped

from .grouping import part_by_label


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
