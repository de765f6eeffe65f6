"""How well a threshold set on some normals holds on others, whatever the distribution of their scores.

A threshold that `k` of `n` reference normals exceed is one of the reference scores, so it is itself uncertain: the
share of all normals above it is Beta(k + 1, n - k) distributed, and the number among new ones beta-binomial (David and
Nagaraja 2003, Order Statistics). Ties make this approximate.
"""

from scipy.stats import beta, betabinom

from .estimate import Estimate


def exceedance_rate(num_reference_above: int, *, num_reference: int, confidence: float = 0.95) -> Estimate:
    """Share of all normals above the threshold: its mean over repeated draws of the reference, and where it lies."""
    share, tail = beta(num_reference_above + 1, num_reference - num_reference_above), (1 - confidence) / 2
    return Estimate(float(share.mean()), low=float(share.ppf(tail)), high=float(share.ppf(1 - tail)))


def exceedance_p_value(num_above: int, *, num_new: int, num_reference_above: int, num_reference: int) -> float:
    """Two-sided probability of a count at least as odd as `num_above`, if new and reference normals are alike.

    A Clopper-Pearson interval of the new share takes the threshold as known, and so misses the target too often: at
    5 % and 122 normals on both sides, 15 % of the time.
    """
    above = betabinom(num_new, num_reference_above + 1, num_reference - num_reference_above)
    return float(min(1.0, 2 * min(above.cdf(num_above), above.sf(num_above - 1))))
