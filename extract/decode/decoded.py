"""What decoding yields: plain arrays, before a backbone's own preprocessing; and when what is recorded goes on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

# How far apart the two levels' means are, in pooled standard deviations about them. Halves of one bell are 2.7 apart,
# halves of an even spread 3.5: what is not further apart is one level that fluctuates.
MIN_SEPARATION = 4.0


Extents = Mapping[Path, Mapping[str, float]]
"""Of files that were decoded, how much there is of each: `width` and `height` in pixels, `frames`, `seconds`."""


# From a level over time, such as brightness or loudness, to the span in which it is high.


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
    """Medians of `width` (odd) neighbours; beyond both ends, where nothing goes on, the least value stands."""
    if len(levels) == 0:
        return levels
    padded = np.pad(levels, width // 2, mode="constant", constant_values=levels.min())
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1))


@dataclass(frozen=True)
class VideoClip:
    """Sampled frames in RGB, and when each was taken, in seconds from the start of the file.

    `active` holds the first and last time at which the picture is lit, on the same clock, or NaN twice where it never
    is.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    times: Float64[np.ndarray, " time"]
    active: Float64[np.ndarray, " 2"] = field(default_factory=never)
    notes: tuple[str, ...] = ()  # what of the file could not be used, in words for the user
    extents: Extents = field(default_factory=dict)


@dataclass(frozen=True)
class AudioWindows:
    """Consecutive windows over the whole recording, 16 kHz mono in [-1, 1]; the last one is padded with zeros.

    `active` holds onset and end of the sound of what is recorded, in seconds from the first sample, or NaN twice where
    nothing stands out.
    """

    samples: Float32[np.ndarray, "windows samples"]
    num_valid: Int64[np.ndarray, " windows"]  # real samples in each window
    active: Float64[np.ndarray, " 2"] = field(default_factory=never)
    notes: tuple[str, ...] = ()  # what of the recording looks wrong, in words for the user
    extents: Extents = field(default_factory=dict)


@dataclass(frozen=True)
class Photographs:
    """One picture a view in RGB, of any size; None where the view was not taken."""

    views: tuple[UInt8[np.ndarray, "_height _width 3"] | None, ...]
    notes: tuple[str, ...] = ()  # why views are not there, in words for the user
    extents: Extents = field(default_factory=dict)  # of whole pictures, before anything is cut away

    @property
    def present(self) -> Bool[np.ndarray, " views"]:
        """Which views exist."""
        return np.array([view is not None for view in self.views])


@dataclass(frozen=True)
class SensorSeries:
    """Channels in physical units, resampled evenly in time over the recording.

    `times` are seconds from the first record; `active` holds the first and last time at which what is recorded goes on,
    or NaN twice where no channel tells.
    """

    values: Float32[np.ndarray, "steps channels"]
    times: Float64[np.ndarray, " steps"]
    active: Float64[np.ndarray, " 2"]
    notes: tuple[str, ...] = ()  # what was left out or looks wrong, in words for the user
