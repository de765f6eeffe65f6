"""Score interval of an AUROC from its value and the class sizes alone: it never has zero width."""

from collections.abc import Callable

from scipy.optimize import brentq
from scipy.stats import norm

from .estimate import Estimate


def newcombe_interval(value: float, *, num_defect: int, num_normal: int, confidence: float = 0.95) -> Estimate:
    """Every true AUROC from which `value` lies within the normal quantile times its own standard error.

    For the AUROC what Wilson's interval is for a proportion; the two agree with one sample of each class. The variance
    is Hanley and McNeil's with both class sizes in its numerator replaced by their mean: method 5 of Newcombe (2006),
    "Confidence intervals for an effect size measure based on the Mann-Whitney statistic, part 2", Statistics in
    Medicine 25, 559-573. That is a model of the scores, so DeLong's variance is better where the classes are large.
    """
    quantile = float(norm.ppf(0.5 + confidence / 2))
    surplus = (num_defect + num_normal) / 2 - 1

    def variance(truth: float) -> float:
        spread = (1 - truth) / (2 - truth) + truth / (1 + truth)
        return truth * (1 - truth) * (1 + surplus * spread) / (num_defect * num_normal)

    # The variance is the same at `truth` and `1 - truth`, so the upper end mirrors a lower one.
    low = _lower_end(value, variance=variance, quantile=quantile)
    high = 1 - _lower_end(1 - value, variance=variance, quantile=quantile)
    return Estimate(value, low=min(low, value), high=max(high, value))


def _lower_end(value: float, *, variance: Callable[[float], float], quantile: float) -> float:
    if value == 0:
        return 0.0

    def excess(truth: float) -> float:
        return (value - truth) ** 2 - quantile**2 * variance(truth)

    # At value = 1 the value itself is a second root, where both terms vanish; the bracket ends just below it.
    return float(brentq(excess, 0.0, value * (1 - 1e-12)))
