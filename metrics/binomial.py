"""Exact interval of a proportion."""

from scipy.stats import beta

from .estimate import Estimate


def clopper_pearson(successes: int, *, trials: int, confidence: float = 0.95) -> Estimate:
    """The share `successes / trials` with an interval that covers at least `confidence`, however small the counts.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, through quantiles of the beta distribution.
    """
    assert 0 <= successes <= trials and trials > 0, (successes, trials)
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return Estimate(successes / trials, low=float(low), high=float(high))
