"""Sound in bands of frequency, through no backbone: levels on the mel scale, how these run, and the levels over time.

The mel scale is O'Shaughnessy's, m = 2595 log10(1 + f / 700), as in HTK.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
import torch
from jaxtyping import Float32, Float64

from ...cache.arrays import ArraySpec
from ..decode.audio import SAMPLE_RATE, decode_audio
from ..decode.decoded import AudioWindows
from ..sources.source import Sample
from .kind import Prepared, StoredAsRead, StreamReader, Tools
from .settings import SoundStatisticsSettings
from .statistics import names_of, statistics_of

_FRAME, _HOP = 1024, 256  # samples: 64 ms every 16 ms
HOP_SECONDS = _HOP / SAMPLE_RATE
_LOWEST, _HIGHEST = 50.0, SAMPLE_RATE / 2  # hertz
_FLOOR_DB = -100.0  # of a tone at full scale: a step of 16 bits spread over all bands is not far above
_FRAMES_AT_ONCE = 2048  # so that an hour of sound does not take gigabytes


@dataclass(frozen=True)
class SoundStatisticsReader(StreamReader):
    """{"values": (numbers,)}, and where tokens are asked for {"tokens": (time, bands), "tokens_length": ()}."""

    settings: SoundStatisticsSettings

    def __call__(self, sample: Sample) -> Prepared:
        settings = self.settings
        windows = decode_audio(
            sample.files[self.stream][0],
            max_seconds=settings.max_seconds,
            rates=settings.rates,
            max_channels=settings.max_channels,
        )
        levels = log_mel(_heard(windows), num_bands=settings.num_bands)
        values = statistics_of(levels, step_seconds=_HOP / SAMPLE_RATE).ravel().astype(np.float32)
        tensors = {"values": torch.from_numpy(values)}
        if settings.token_seconds is not None:
            tokens, capacity = _means_over_time(levels, hops=hops_of(settings)), capacity_of(settings)
            padded = np.zeros((capacity, settings.num_bands), np.float32)
            padded[: len(tokens)] = tokens[:capacity]  # a last frame may begin where the longest recording ends
            tensors["tokens"] = torch.from_numpy(padded)
            tensors["tokens_length"] = torch.tensor(min(len(tokens), capacity), dtype=torch.int32)
        return Prepared(tensors, notes=windows.notes)


def hops_of(settings: SoundStatisticsSettings) -> int:
    """How many levels one after another a token is the mean of; 0: there are no tokens."""
    return 0 if settings.token_seconds is None else max(1, round(settings.token_seconds * SAMPLE_RATE / _HOP))


def capacity_of(settings: SoundStatisticsSettings) -> int:
    """Tokens of the longest recording."""
    return ceil(settings.max_seconds * SAMPLE_RATE / (_HOP * hops_of(settings)))


def _means_over_time(levels: Float32[np.ndarray, "frames bands"], *, hops: int) -> Float32[np.ndarray, "tokens bands"]:
    starts = np.arange(0, len(levels), hops)
    sums = np.add.reduceat(levels, starts, axis=0)
    return np.asarray(sums / np.diff(starts, append=len(levels))[:, np.newaxis], dtype=np.float32)


def _heard(windows: AudioWindows) -> Float32[np.ndarray, " samples"]:
    """What is recorded from onset to end, in one piece; all of it where nothing stands out."""
    waveform = windows.samples.ravel()[: int(windows.num_valid.sum())]  # only the last window has padding
    if np.isnan(windows.active).any():
        return waveform
    first, last = np.round(windows.active * SAMPLE_RATE).astype(int)
    return waveform[first:last]


def log_mel(waveform: Float32[np.ndarray, " samples"], *, num_bands: int) -> Float32[np.ndarray, "frames bands"]:
    """Level of each band in decibels over time; 0 is a tone at full scale. What is shorter than a frame is one."""
    padded = np.pad(waveform, (0, max(0, _FRAME - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_HOP]
    window = np.hanning(_FRAME + 1)[:-1]
    filters = _mel_filters(num_bands)
    levels = np.empty((len(frames), num_bands), dtype=np.float32)
    for start in range(0, len(frames), _FRAMES_AT_ONCE):
        part = frames[start : start + _FRAMES_AT_ONCE]
        power = np.abs(np.fft.rfft(part * window, axis=1) / (window.sum() / 2)) ** 2
        levels[start : start + len(part)] = 10 * np.log10(power @ filters.T + 10 ** (_FLOOR_DB / 10))
    return levels


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _hertz(mel: Float64[np.ndarray, " _"]) -> Float64[np.ndarray, " _"]:
    return np.asarray(700 * (10 ** (mel / 2595) - 1))


@cache
def _mel_filters(num_bands: int) -> Float64[np.ndarray, "bands frequencies"]:
    """Triangles of height 1 that overlap by half, evenly spread on the mel scale."""
    corners = _hertz(np.linspace(_mel(_LOWEST), _mel(_HIGHEST), num_bands + 2))
    low, middle, high = (corners[first : first + num_bands] for first in range(3))
    frequencies = np.fft.rfftfreq(_FRAME, d=1 / SAMPLE_RATE)[:, np.newaxis]
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return np.asarray(np.clip(np.minimum(rising, falling), 0.0, None).T)


class SoundStatisticsEncoder(StoredAsRead):
    """Statistics of the levels over the time in which something is heard, in decibels; and these levels over time."""

    def __init__(self, name: str, settings: SoundStatisticsSettings) -> None:
        names = names_of([f"band {number}" for number in range(1, settings.num_bands + 1)])
        values = ArraySpec("values", (len(names),), ("dim",), "float32", attributes={"names": names})
        arrays = [values]
        decoding: dict[str, object] = {
            "frame": _FRAME,
            "hop": _HOP,
            "bands": settings.num_bands,
            "hertz": [_LOWEST, _HIGHEST],
            "floor_db": _FLOOR_DB,
            "statistics": "over the time in which something is heard",
            "max_seconds": settings.max_seconds,
        }
        if hops := hops_of(settings):
            decoding["levels_per_token"] = hops
            arrays += [
                ArraySpec("tokens", (capacity_of(settings), settings.num_bands), ("time", "dim"), "float32"),
                ArraySpec("tokens_length", (), (), "int32", distinct=False),
            ]
        super().__init__(
            name, SoundStatisticsReader(settings), arrays, decoding=decoding, decoders=["soundfile", "librosa"]
        )


def make(name: str, settings: SoundStatisticsSettings, tools: Tools) -> SoundStatisticsEncoder:
    return SoundStatisticsEncoder(name, settings)
