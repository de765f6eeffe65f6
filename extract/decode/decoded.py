"""What decoding yields: plain arrays, before any backbone's own preprocessing."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8


@dataclass(frozen=True)
class VideoClip:
    """Sampled frames in RGB, and when each was taken, in seconds from the start of the file."""

    frames: UInt8[np.ndarray, "time height width 3"]
    times: Float64[np.ndarray, " time"]
    problems: tuple[str, ...] = ()  # what of the file could not be used, in words for the user


@dataclass(frozen=True)
class AudioWindows:
    """Consecutive windows over the whole recording, 16 kHz mono in [-1, 1]; the last one is padded with zeros."""

    samples: Float32[np.ndarray, "windows samples"]
    num_valid: Int64[np.ndarray, " windows"]  # real samples in each window


@dataclass(frozen=True)
class Photographs:
    """One picture a view in RGB, of any size; None where the view was not taken."""

    views: tuple[UInt8[np.ndarray, "_height _width 3"] | None, ...]
    problems: tuple[str, ...] = ()  # why views are not there, in words for the user

    @property
    def present(self) -> Bool[np.ndarray, " views"]:
        """Which views exist."""
        return np.array([view is not None for view in self.views])


@dataclass(frozen=True)
class SensorSeries:
    """Six channels in physical units, resampled evenly in time over the recording.

    `times` are seconds from the first record; `arc_on` holds the first and last time at which the current is above
    50 A, or NaN twice where it never is.
    """

    values: Float32[np.ndarray, "steps channels"]
    times: Float64[np.ndarray, " steps"]
    arc_on: Float64[np.ndarray, " 2"]
