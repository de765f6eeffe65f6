"""A number with the interval that the data leave open, and how both are written wherever a person reads them."""

from dataclasses import dataclass

from ..wording import from_to


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


def span(estimate: Estimate, *, sign: str = "") -> str:
    """An interval in words, `0.861 to 0.903`; of a difference with the sign "+", `-0.083 to +0.020`."""
    return from_to(estimate.low, estimate.high, f"{sign}.3f")


def with_span(estimate: Estimate, *, sign: str = "") -> str:
    """A figure with its interval: `0.882 (0.861 to 0.903)`."""
    return f"{estimate.value:{sign}.3f} ({span(estimate, sign=sign)})"


def percent(estimate: Estimate) -> str:
    """A share with its interval: `5.8% (2.4% to 11.6%)`."""
    return f"{estimate.value:.1%} ({from_to(estimate.low, estimate.high, '.1%')})"
