"""Audio: consecutive windows over the whole recording to spectrogram tokens and pooled embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil

import numpy as np
import torch
from torch import Tensor

from ...cache.arrays import ACTIVE, ArraySpec, FeatureSetSpec, StorageType
from ..backbones.spec import AudioBackbone, Preparation
from ..decode.audio import decode_audio
from ..decode.decoded import AudioWindows
from ..sources.source import Sample
from .kind import Features, Prepared, StreamReader, Tools, active_array, made_by
from .settings import SoundSettings

WINDOW_SECONDS = 10.24  # what AST was trained on


@dataclass(frozen=True)
class SoundReader(StreamReader):
    """What the backbone takes: {"windows": (windows, time, mel), "num_valid": (windows,), ACTIVE: (2,)}."""

    settings: SoundSettings
    preparation: Preparation[AudioWindows]

    def __call__(self, sample: Sample) -> Prepared:
        settings = self.settings
        windows = decode_audio(
            sample.files[self.stream][0],
            window_seconds=WINDOW_SECONDS,
            max_seconds=settings.max_seconds,
            rates=settings.rates,
            max_channels=settings.max_channels,
        )
        return Prepared(
            {
                "windows": self.preparation(windows),
                "num_valid": torch.from_numpy(windows.num_valid),
                ACTIVE: torch.from_numpy(windows.active),
            },
            notes=windows.notes,
            extents=windows.extents,
        )


class SoundEncoder:
    """Tokens (time, dim), padded to the longest recording, their number, their mean, and the model's pooling (dim,)."""

    def __init__(self, name: str, settings: SoundSettings, *, backbone: AudioBackbone, dtype: StorageType) -> None:
        self._backbone = backbone
        self.reader = SoundReader(settings=settings, preparation=backbone.preparation)
        self._capacity = ceil(settings.max_seconds / WINDOW_SECONDS) * backbone.num_tokens
        arrays = [
            ArraySpec("tokens", (self._capacity, backbone.dim), ("time", "dim"), dtype),
            ArraySpec("tokens_length", (), (), "int32", distinct=False),
            ArraySpec("mean", (backbone.dim,), ("dim",), dtype),
            ArraySpec("embedding", (backbone.dim,), ("dim",), dtype),
            active_array(),
        ]
        decoding = {"window_seconds": WINDOW_SECONDS, "max_seconds": settings.max_seconds, "windows": "consecutive"}
        self.specs = [
            FeatureSetSpec(name, arrays, made_by(backbone.spec, decoding=decoding, decoders=["soundfile", "librosa"]))
        ]

    def load(self) -> None:
        self._backbone.load()

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """All windows of all samples are one batch."""
        encoded = self._backbone(torch.cat([item.tensors["windows"] for item in prepared]))
        bounds = np.cumsum([0, *(len(item.tensors["windows"]) for item in prepared)])
        lengths = [self._num_tokens(item.tensors["num_valid"]) for item in prepared]
        spans = list(pairwise(bounds))
        # Every window but the last is full, so the real tokens are one run from the start.
        runs = [
            encoded["tokens"][start:stop].flatten(0, 1)[:length]
            for (start, stop), length in zip(spans, lengths, strict=True)
        ]
        tokens = encoded["tokens"].new_zeros(len(prepared), self._capacity, self._backbone.dim)
        for row, run in zip(tokens, runs, strict=True):
            row[: len(run)] = run
        made = {
            "tokens": tokens,
            "tokens_length": torch.tensor(lengths, dtype=torch.int32),
            "mean": torch.stack([run.float().mean(dim=0) for run in runs]),
            "embedding": torch.stack(
                [
                    _weighted_mean(encoded["embedding"][start:stop].float(), item.tensors["num_valid"])
                    for (start, stop), item in zip(spans, prepared, strict=True)
                ]
            ),
            ACTIVE: torch.stack([item.tensors[ACTIVE] for item in prepared]),
        }
        return dict.fromkeys(feature_sets, made)

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return len(prepared.tensors["windows"]) * self._backbone.flops()

    def _num_tokens(self, num_valid: Tensor) -> int:
        full = (len(num_valid) - 1) * self._backbone.num_tokens
        return full + self._backbone.num_valid_tokens(int(num_valid[-1]))


def _weighted_mean(embeddings: Tensor, num_valid: Tensor) -> Tensor:
    """Mean over windows, each weighted by how much of it is recording."""
    share = (num_valid / num_valid.sum()).to(embeddings)
    return share @ embeddings


def make(name: str, settings: SoundSettings, tools: Tools) -> SoundEncoder:
    backbone = tools.backbones.sound(settings, key=f"features.{name}", block=settings.block)
    return SoundEncoder(name, settings, backbone=backbone, dtype=tools.dtype)
