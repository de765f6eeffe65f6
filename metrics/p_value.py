"""P values: the one that belongs to an interval, however that is made, and that of labels dealt out anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import brentq

from .estimate import Estimate

SMALLEST_P = 1e-9
"""Below which nothing is told apart: the far tails of no approximation deserve it."""
RAREST_CHANCE = 0.05
"""A p value above it says that chance alone may have done it: reports warn."""
NUM_PERMUTATIONS = 1000

_LARGEST_P = 0.999  # of which the interval is all but the value itself


def p_value_of(difference: Callable[[float], Estimate]) -> float:
    """The two-sided p value of a difference of zero: 1 less the widest confidence at which its interval leaves out 0.

    `difference` is the estimate by its confidence, of which a wider one holds the narrower. So a p value is below 0.05
    just where the 95 % interval leaves out 0, whichever method made it; `SMALLEST_P` stands for all below it.
    """

    def reach(logarithm: float) -> float:
        """How far the interval stays from 0; negative where it holds it."""
        found = difference(1 - float(np.exp(logarithm)))
        return found.low if found.value > 0 else -found.high

    smallest, largest = float(np.log(SMALLEST_P)), float(np.log(_LARGEST_P))
    if difference(1 - _LARGEST_P).value == 0 or reach(largest) <= 0:
        return 1.0
    if reach(smallest) > 0:
        return SMALLEST_P
    return float(np.exp(brentq(reach, smallest, largest, xtol=1e-6)))


def p_told(value: float) -> str:
    """A p value as people read it."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


@dataclass(frozen=True)
class Permutation:
    """What a model's own answers reach where the truth is dealt out again at random.

    Attributes:
        null: the median of the figures so reached, with the range that holds 95 % of them.
        p_value: how often at least the model's figure is reached so, the truth counted as one of the deals: it is one
            of those that are equally likely where the model knows nothing, and no p value is 0.
        number: how many deals there were.
        of_groups: whether whole groups were dealt, because the truth of each is one.
    """

    null: Estimate
    p_value: float
    number: int
    of_groups: bool

    @property
    def told(self) -> str:
        """How it was made, as it stands behind "with"."""
        return f"{'whole groups' if self.of_groups else 'samples'} dealt the labels anew {self.number} times"


def dealt_members(truth: Int64[np.ndarray, " samples"], *, groups: Sequence[str]) -> Int64[np.ndarray, " samples"]:
    """Of each sample the number of what the truth is dealt out to: its group, where each group of several samples holds
    one truth alone, because then samples of a group are no witnesses of their own; or else the sample itself.

    Groups are not dealt where the one of some sample is not known ("").
    """
    names, first, numbers = np.unique(np.asarray(groups, dtype=np.str_), return_index=True, return_inverse=True)
    mixed = truth[first][numbers] != truth
    of_samples = "" in names or mixed.any() or len(names) == len(truth)
    return np.arange(len(truth)) if of_samples else numbers.astype(np.int64)


def permutation_of(figure: float, *, deal: Callable[[], float], of_groups: bool) -> Permutation:
    """Hold a model's figure against `NUM_PERMUTATIONS` of those that `deal` reaches with the truth dealt out anew."""
    dealt: Float64[np.ndarray, " deals"] = np.array([deal() for _ in range(NUM_PERMUTATIONS)])
    reached = int(np.count_nonzero(dealt >= figure - 1e-12))  # equal ones, which rounding may part
    low, middle, high = (float(value) for value in np.quantile(dealt, [0.025, 0.5, 0.975]))
    return Permutation(Estimate(middle, low, high), (reached + 1) / (NUM_PERMUTATIONS + 1), NUM_PERMUTATIONS, of_groups)
