"""From a level over time, such as brightness or loudness, to the span in which it is high: the time of the arc."""

import numpy as np
from jaxtyping import Float64

# How far apart the two levels' means are, in pooled standard deviations about them. Halves of one bell are 2.7 apart,
# halves of an even spread 3.5: what is not further apart is one level that fluctuates.
MIN_SEPARATION = 4.0


def high_span(levels: Float64[np.ndarray, " n"], *, hold: int, min_contrast: float) -> tuple[int, int] | None:
    """First and last index at which `levels` are on the upper one of two levels; None where they have only one.

    A running median over 2 * hold - 1 values comes first: what lasts fewer than `hold` values, a flash, a click or a
    flicker, does not count, and edges stay where they are. The two levels are then parted where the variance within
    both is least, and they are two only if their means differ by at least `min_contrast` and by `MIN_SEPARATION` times
    the standard deviation within.

    Source: Otsu 1979, A threshold selection method from gray-level histograms; here over the values themselves.
    """
    smooth = _running_median(levels, width=2 * hold - 1)
    ordered = np.sort(smooth)
    if len(ordered) < 2 or ordered[0] == ordered[-1]:
        return None
    count = np.arange(1, len(ordered))
    low = np.cumsum(ordered)[:-1] / count
    high = np.cumsum(ordered[::-1])[-2::-1] / count[::-1]
    between = count * count[::-1] * (high - low) ** 2 / len(ordered) ** 2
    best = int(np.argmax(between))
    contrast = high[best] - low[best]
    within = np.sqrt(max(ordered.var() - between[best], 0.0))
    if contrast < min_contrast or contrast < MIN_SEPARATION * within:
        return None
    above = np.flatnonzero(smooth > (low[best] + high[best]) / 2)
    return int(above[0]), int(above[-1])


def never() -> Float64[np.ndarray, " 2"]:
    """NaN twice: the bounds of a span that is not there."""
    return np.full(2, np.nan)


def _running_median(levels: Float64[np.ndarray, " n"], *, width: int) -> Float64[np.ndarray, " n"]:
    """Medians of `width` (odd) neighbours; beyond both ends, where there is no arc, the least value stands."""
    if len(levels) == 0:
        return levels
    padded = np.pad(levels, width // 2, mode="constant", constant_values=levels.min())
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))
