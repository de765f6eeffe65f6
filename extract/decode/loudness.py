"""Loudness of a recording, and from it the time in which one hears the arc."""

import numpy as np
from jaxtyping import Float32, Float64

from .onset import high_span, never

WINDOW_SECONDS = 0.05

_HOLD = 6  # windows: what lasts less than 0.3 s is a click, a hammer blow, a word
_MIN_CONTRAST_DB = 6.0
FLOOR = 1e-4  # of full scale, 3 steps of 16 bits: quieter than that is all silence


def heard_span(waveform: Float32[np.ndarray, " samples"], *, rate: int) -> Float64[np.ndarray, " 2"]:
    """Onset and end of the welding sound, in seconds from the first sample; NaN twice where nothing stands out.

    From the RMS of 50 ms windows in decibels, each sample less the one before it: mains hum and the rumble of a hall,
    which are louder than a quiet arc, lose 30 dB by that, and the arc's crackle nothing. A recording with the arc on
    from its first to its last sample has nothing to stand out from.
    """
    size = round(WINDOW_SECONDS * rate)
    steps = np.diff(waveform)
    windows = steps[: len(steps) // size * size].reshape(-1, size)
    rms = np.sqrt(np.einsum("ws,ws->w", windows, windows, dtype=np.float64) / size)
    span = high_span(20 * np.log10(rms + FLOOR), hold=_HOLD, min_contrast=_MIN_CONTRAST_DB)
    return never() if span is None else np.array([span[0], span[1] + 1]) * (size / rate)
