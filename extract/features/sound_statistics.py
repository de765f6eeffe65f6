"""Sound in bands of frequency, through no backbone: statistics of levels on the mel scale, and the levels over time."""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from jaxtyping import Float32

from ...cache.arrays import ArraySpec
from ..decode.audio import SAMPLE_RATE, decode_audio
from ..decode.decoded import AudioWindows
from ..decode.mel_levels import FLOOR_DB, FRAME, HIGHEST, HOP, LOWEST, log_mel
from ..sources.source import Sample
from .kind import Prepared, StoredAsRead, StreamReader, Tools
from .settings import SoundStatisticsSettings
from .statistics import names_of, statistics_of


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
        values = statistics_of(levels, step_seconds=HOP / SAMPLE_RATE).ravel().astype(np.float32)
        tensors = {"values": torch.from_numpy(values)}
        if settings.token_seconds is not None:
            tokens, capacity = _means_over_time(levels, hops=hops_of(settings)), capacity_of(settings)
            padded = np.zeros((capacity, settings.num_bands), np.float32)
            padded[: len(tokens)] = tokens[:capacity]  # a last frame may begin where the longest recording ends
            tensors["tokens"] = torch.from_numpy(padded)
            tensors["tokens_length"] = torch.tensor(min(len(tokens), capacity), dtype=torch.int32)
        return Prepared(tensors, notes=windows.notes, extents=windows.extents)


def hops_of(settings: SoundStatisticsSettings) -> int:
    """How many levels one after another a token is the mean of; 0: there are no tokens."""
    return 0 if settings.token_seconds is None else max(1, round(settings.token_seconds * SAMPLE_RATE / HOP))


def capacity_of(settings: SoundStatisticsSettings) -> int:
    """Tokens of the longest recording."""
    return ceil(settings.max_seconds * SAMPLE_RATE / (HOP * hops_of(settings)))


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


class SoundStatisticsEncoder(StoredAsRead):
    """Statistics of the levels over the time in which something is heard, in decibels; and these levels over time."""

    def __init__(self, name: str, settings: SoundStatisticsSettings) -> None:
        names = names_of([f"band {number}" for number in range(1, settings.num_bands + 1)])
        values = ArraySpec("values", (len(names),), ("dim",), "float32", attributes={"names": names})
        arrays = [values]
        decoding: dict[str, object] = {
            "frame": FRAME,
            "hop": HOP,
            "bands": settings.num_bands,
            "hertz": [LOWEST, HIGHEST],
            "floor_db": FLOOR_DB,
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
