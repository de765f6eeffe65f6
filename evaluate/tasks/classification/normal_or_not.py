"""How well a classifier tells normal samples from all others, by the chance that it gives the classes of these."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from numpy.typing import NDArray

from ....cache.targets import DEFECT, NORMAL
from ....metrics.clustered import grouped_auroc
from ....metrics.estimate import Estimate
from ....metrics.ranking import average_precision
from ....wording import count_of
from ...section import Fact, Section


@dataclass(frozen=True)
class NormalOrNot:
    """What the chance of the classes that are not normal ranks; `chance_ap` is the share of samples that are not."""

    auroc: Estimate
    ap: float
    chance_ap: float
    num_normal: int
    num_other: int


def normal_or_not(
    shares: Float[np.ndarray, "rows classes"],
    labels: Int64[np.ndarray, " rows"],
    *,
    normal: Bool[np.ndarray, " classes"],
    groups: Sequence[str],
) -> NormalOrNot | None:
    """None where no class, or every class, is normal, or the samples of known label are of one.

    Args:
        shares: the chance of each class.
        labels: of the samples, UNKNOWN where it is not known.
        normal: which classes are.
        groups: of the samples.
    """
    known = np.flatnonzero(np.isin(labels, (NORMAL, DEFECT)))
    if normal.all() or not normal.any() or len(np.unique(labels[known])) < 2:
        return None
    scores: NDArray[np.float64] = shares[known][:, ~normal].sum(axis=1, dtype=np.float64)
    found = labels[known]
    return NormalOrNot(
        auroc=grouped_auroc(scores, found, groups=[groups[row] for row in known.tolist()]),
        ap=average_precision(scores, found),
        chance_ap=float(np.mean(found == DEFECT)),
        num_normal=int(np.sum(found == NORMAL)),
        num_other=int(np.sum(found == DEFECT)),
    )


def normal_or_not_section(found: NormalOrNot) -> Section:
    """The ranking's figures, in a section of its own."""
    counted = f"{count_of(found.num_normal, 'normal')} and {found.num_other:,} others"
    return Section(
        "normal_or_not",
        "Normal, or of any other class",
        facts=(
            Fact("auroc", "AUROC", found.auroc, note=f"{counted}; chance is 0.5"),
            Fact("ap", "Average precision", found.ap, note=f"chance is {found.chance_ap:.3f}"),
        ),
        note=[
            "Samples are ranked by the chance that the model gives all classes that are not normal, together. It was "
            "trained on examples of these, so this is no figure of an anomaly detector, which has seen none."
        ],
        look="tiles",
        brief=True,
    )
