"""DeLong's variance of the AUROC, by the midrank algorithm in O(n log n).

Sources: DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837-845; Sun and Xu (2014), "Fast implementation of
DeLong's algorithm", IEEE Signal Processing Letters 21, 1389-1393.
"""

import numpy as np
from jaxtyping import Float64, Integer, Shaped
from scipy.stats import rankdata

from ..errors import MetricError
from .grouping import part_by_label


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
    ranks = rankdata(np.concatenate([defects, normals]))
    normals_below = ranks[: defects.size] - rankdata(defects)
    defects_below = ranks[defects.size :] - rankdata(normals)
    return normals_below / normals.size, 1 - defects_below / defects.size


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
