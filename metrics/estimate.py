"""A number with the interval that the data leave open."""

from dataclasses import dataclass


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
