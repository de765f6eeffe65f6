"""Statistics over time: what a series of any number of channels amounts to, however long it is."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64

NAMES = ("mean", "deviation", "least", "median", "largest", "slope", "step")


def statistics_of(
    values: Float32[np.ndarray, "steps channels"], *, step_seconds: float
) -> Float64[np.ndarray, "statistics channels"]:
    """The statistics `NAMES` of each channel, over steps that are `step_seconds` apart.

    `slope` is that of the straight line through the values by least squares, per second; `step` is the mean size of the
    step from one value to the next, which tells a rough course from a smooth one that spreads as far. Of a single step
    both are 0.
    """
    exact = values.astype(np.float64)
    times = step_seconds * (np.arange(len(exact)) - (len(exact) - 1) / 2)
    steps = np.abs(np.diff(exact, axis=0))
    return np.stack(
        [
            exact.mean(axis=0),
            exact.std(axis=0),
            exact.min(axis=0),
            np.median(exact, axis=0),
            exact.max(axis=0),
            times @ exact / max(float(times @ times), 1e-300),  # of a single step 0 / 0
            steps.sum(axis=0) / max(len(steps), 1),
        ]
    )


def names_of(channels: Sequence[str]) -> list[str]:
    """What each number is when the statistics are laid out in one row."""
    return [f"{name} of {channel}" for name in NAMES for channel in channels]
