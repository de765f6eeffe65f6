"""How numbers are written wherever a person reads them."""

from ..metrics.estimate import Estimate


def span(estimate: Estimate) -> str:
    """The interval of an AUROC: `0.861 to 0.903`."""
    return f"{estimate.low:.3f} to {estimate.high:.3f}"


def percent(estimate: Estimate) -> str:
    """A share with its interval: `5.8% (2.4% to 11.6%)`."""
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def change(estimate: Estimate) -> str:
    """A difference of two AUROCs with its interval: `-0.051 (-0.083 to -0.020)`."""
    return f"{estimate.value:+.3f} ({estimate.low:+.3f} to {estimate.high:+.3f})"
