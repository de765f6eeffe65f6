"""Levels of sound in bands of frequency over time, on the mel scale.

The mel scale is O'Shaughnessy's, m = 2595 log10(1 + f / 700), as in HTK.
"""

from functools import cache

import numpy as np
from jaxtyping import Float32, Float64

from .audio import SAMPLE_RATE

FRAME, HOP = 1024, 256  # samples: 64 ms every 16 ms
HOP_SECONDS = HOP / SAMPLE_RATE
LOWEST, HIGHEST = 50.0, SAMPLE_RATE / 2  # hertz
FLOOR_DB = -100.0  # of a tone at full scale: a step of 16 bits spread over all bands is not far above
_FRAMES_AT_ONCE = 2048  # so that an hour of sound does not take gigabytes


def log_mel(waveform: Float32[np.ndarray, " samples"], *, num_bands: int) -> Float32[np.ndarray, "frames bands"]:
    """Level of each band in decibels over time; 0 is a tone at full scale. What is shorter than a frame is one."""
    padded = np.pad(waveform, (0, max(0, FRAME - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP]
    window = np.hanning(FRAME + 1)[:-1]
    filters = _mel_filters(num_bands)
    levels = np.empty((len(frames), num_bands), dtype=np.float32)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        part = frames[start : start + _FRAMES_AT_ONCE]
        power = np.abs(np.fft.rfft(part * window, axis=1) / (window.sum() / 2)) ** 2
        levels[start : start + len(part)] = 10 * np.log10(power @ filters.T + 10 ** (FLOOR_DB / 10))
    return levels


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: Float64[np.ndarray, " _"]) -> Float64[np.ndarray, " _"]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


@cache
def _mel_filters(num_bands: int) -> Float64[np.ndarray, "bands frequencies"]:
    """Triangles of height 1 that overlap by half, evenly spread on the mel scale."""
    corners = _hertz(np.linspace(_mel(LOWEST), _mel(HIGHEST), num_bands + 2))
    low, middle, high = (corners[first : first + num_bands] for first in range(3))
    frequencies = np.fft.rfftfreq(FRAME, d=1 / SAMPLE_RATE)[:, np.newaxis]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0.0, None).T)
