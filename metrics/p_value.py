"""The p value that belongs to an interval, however that is made."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from .estimate import Estimate

SMALLEST_P = 1e-9
"""Below which nothing is told apart: the far tails of no approximation deserve it."""

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
