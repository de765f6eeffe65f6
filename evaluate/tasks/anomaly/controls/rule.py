"""A rule on one attribute that tells defects from normals: a limit of a number, or some of the values of a text.

It is what a tree of depth 1 finds that weighs both labels alike: of all cuts the one with the best balanced accuracy.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64
from numpy.typing import NDArray

from .....wording import in_words, listed, shortened
from ....scores import Attributes

_NAMED = 3  # values in a sentence
_UNKNOWN = -np.inf  # in place of a number that is not known, below all others: that it is not known tells, too

Values = NDArray[np.float64] | NDArray[np.character]


@dataclass(frozen=True)
class AttributeRule:
    """Defects are above, or at most, a limit of a number; or they are, or are not, of some values of a text.

    Attributes:
        limit: of a number, of which the rule's sentence is `at most`; of a text some values, and the sentence is `is`.
        share_if: share of defects among the samples of which that sentence is true, each label weighing alike.
        share_else: the same of the others.
        balanced_accuracy: on the samples that it was found on.
    """

    attribute: str
    limit: float | tuple[str, ...]
    share_if: float
    share_else: float
    balanced_accuracy: float

    @property
    def words(self) -> str:
        """The side on which the defects are: `speed > 5.5`."""
        name, defects_first = in_words(self.attribute), self.share_if > self.share_else
        if isinstance(self.limit, tuple):
            told = listed(self.limit, last="or") if len(self.limit) <= _NAMED else shortened(self.limit, most=_NAMED)
            return f"{name} is {'' if defects_first else 'not '}{told}"
        if self.limit == _UNKNOWN:
            return f"{name} is {'not ' if defects_first else ''}known"
        return f"{name} {'<=' if defects_first else '>'} {self.limit:.4g}"

    @property
    def is_perfect(self) -> bool:
        """Whether it tells every defect from every normal of the samples that it was found on."""
        return self.balanced_accuracy == 1

    @property
    def names_few(self) -> bool:
        """Whether it is of a number or of a few values: a rule of many tells rather which sample one is."""
        return not isinstance(self.limit, tuple) or len(self.limit) <= _NAMED

    def scores(self, attributes: Attributes) -> Float64[np.ndarray, " samples"]:
        """The share of defects on the side that each sample is on."""
        values = attributes[self.attribute]
        is_true = np.isin(values, self.limit) if isinstance(self.limit, tuple) else _ordered(values) <= self.limit
        return np.where(is_true, self.share_if, self.share_else)


def best_rule(attribute: str, values: Values, is_defect: Bool[np.ndarray, " samples"]) -> AttributeRule | None:
    """The rule that is best on these samples; None where both labels have the attribute alike, or one is not there."""
    num_defect, num_normal = int(is_defect.sum()), int((~is_defect).sum())
    if not num_defect or not num_normal:
        return None
    is_text = not np.issubdtype(values.dtype, np.number)
    kinds, places = np.unique(values if is_text else _ordered(values), return_inverse=True)
    defects, normals = (np.bincount(places[each], minlength=len(kinds)) for each in (is_defect, ~is_defect))
    limit: float | tuple[str, ...]
    if is_text:
        chosen = defects / num_defect > normals / num_normal
        if 2 * chosen.sum() > len(kinds):
            chosen = ~chosen  # the side of fewer values: those that nobody has seen go with the many
        limit = tuple(kinds[chosen].tolist())
        true_defects, true_normals = int(defects[chosen].sum()), int(normals[chosen].sum())
    else:
        below_defects, below_normals = defects.cumsum(), normals.cumsum()
        cut = int(np.abs(below_defects / num_defect - below_normals / num_normal).argmax())
        limit = _between(float(kinds[cut]), float(kinds[min(cut + 1, len(kinds) - 1)]))
        true_defects, true_normals = int(below_defects[cut]), int(below_normals[cut])
    if true_defects * num_normal == true_normals * num_defect:
        return None
    return AttributeRule(
        attribute,
        limit,
        share_if=_share(true_defects / num_defect, true_normals / num_normal),
        share_else=_share(1 - true_defects / num_defect, 1 - true_normals / num_normal),
        balanced_accuracy=(1 + abs(true_defects / num_defect - true_normals / num_normal)) / 2,
    )


def _share(of_defects: float, of_normals: float) -> float:
    return of_defects / (of_defects + of_normals)


def _ordered(values: Values) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64), nan=_UNKNOWN, posinf=np.inf, neginf=_UNKNOWN)


def _between(low: float, high: float) -> float:
    """A limit that `low` is at most and `high` is above: half way where there is such a number."""
    middle = low + (high - low) / 2
    return middle if math.isfinite(middle) and low <= middle < high else low
