"""Scores parted by label, with the checks that every metric needs."""

import numpy as np
from jaxtyping import Float64, Integer, Shaped

from ..errors import MetricError


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
    if not np.isin(labels, (0, 1)).all():
        raise MetricError("Labels must be 0 (normal) or 1 (defect).")
    defects, normals = values[labels == 1], values[labels == 0]
    if not defects.size or not normals.size:
        raise MetricError(
            f"The scores hold {normals.size} normal and {defects.size} defect samples: a comparison of the two "
            "needs at least one of each. Evaluate a split that has both."
        )
    return defects, normals
