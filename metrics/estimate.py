"""A number with the interval that the data leave open: the type, a share of counts, and how both are written."""

from dataclasses import dataclass

from scipy.stats import beta

from ..wording import from_to

METRICS_VERSION = 3
"""Of the definitions of all figures and intervals, so that two reports can be told to be of the same. Raised where one
changes its meaning. 1: intervals took samples as independent. 2: those of AUROCs and of shares at a threshold know
groups, and calibrations say what they promise. 3: a promise counts a group by the share of its normals above the
threshold, and no longer by its highest score."""


@dataclass(frozen=True)
class Estimate:
    """A point estimate and its confidence interval, `low <= value <= high`, all in the unit of the value."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        assert self.low <= self.value <= self.high, self

    def contains(self, value: float) -> bool:
        """Whether the interval holds `value`, its ends included."""
        return self.low <= value <= self.high

    def overlaps(self, other: "Estimate") -> bool:
        """Whether the two intervals share at least one point."""
        return self.low <= other.high and other.low <= self.high


def clopper_pearson(successes: float, *, trials: float, confidence: float = 0.95) -> Estimate:
    """The share `successes / trials` with an interval that covers at least `confidence`, however small the counts.

    A mean of several counts is taken as a count between them, and so is an effective number of trials.

    Source: Clopper and Pearson (1934), Biometrika 26, 404-413, through quantiles of the beta distribution.
    """
    assert 0 <= successes <= trials and trials > 0, (successes, trials)
    tail = (1 - confidence) / 2
    low = beta.ppf(tail, successes, trials - successes + 1) if successes else 0.0
    high = beta.ppf(1 - tail, successes + 1, trials - successes) if successes < trials else 1.0
    return Estimate(successes / trials, low=float(low), high=float(high))


def span(estimate: Estimate, *, sign: str = "") -> str:
    """An interval in words, `0.861 to 0.903`; of a difference with the sign "+", `-0.083 to +0.020`."""
    return from_to(estimate.low, estimate.high, f"{sign}.3f")


def with_span(estimate: Estimate, *, sign: str = "") -> str:
    """A figure with its interval: `0.882 (0.861 to 0.903)`."""
    return f"{estimate.value:{sign}.3f} ({span(estimate, sign=sign)})"


def percent(estimate: Estimate) -> str:
    """A share with its interval: `5.8% (2.4% to 11.6%)`."""
    return f"{estimate.value:.1%} ({from_to(estimate.low, estimate.high, '.1%')})"
