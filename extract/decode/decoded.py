"""What decoding yields: plain arrays, before any backbone's own preprocessing."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from .onset import never


@dataclass(frozen=True)
class VideoClip:
    """Sampled frames in RGB, and when each was taken, in seconds from the start of the file.

    `arc_on` holds the first and last time at which the arc lights the picture, on the same clock, or NaN twice where it
    never does.
    """

    frames: UInt8[np.ndarray, "time height width 3"]
    times: Float64[np.ndarray, " time"]
    arc_on: Float64[np.ndarray, " 2"] = field(default_factory=never)
    notes: tuple[str, ...] = ()  # what of the file could not be used, in words for the user


@dataclass(frozen=True)
class AudioWindows:
    """Consecutive windows over the whole recording, 16 kHz mono in [-1, 1]; the last one is padded with zeros.

    `arc_on` holds onset and end of the welding sound in seconds from the first sample, or NaN twice where nothing
    stands out.
    """

    samples: Float32[np.ndarray, "windows samples"]
    num_valid: Int64[np.ndarray, " windows"]  # real samples in each window
    arc_on: Float64[np.ndarray, " 2"] = field(default_factory=never)
    notes: tuple[str, ...] = ()  # what of the recording looks wrong, in words for the user


@dataclass(frozen=True)
class Photographs:
    """One picture a view in RGB, of any size; None where the view was not taken."""

    views: tuple[UInt8[np.ndarray, "_height _width 3"] | None, ...]
    notes: tuple[str, ...] = ()  # why views are not there, in words for the user

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
    notes: tuple[str, ...] = ()  # what was left out or looks wrong, in words for the user
