"""Audio: consecutive windows over the whole recording to spectrogram tokens and one pooled embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import torch

from ...cache.arrays import ArraySpec, ModalitySpec
from ...configs.schema import AudioSettings, CacheSettings
from ..backbones.spec import AudioBackbone, Preparation
from ..decode.audio import decode_audio
from ..decode.decoded import AudioWindows
from ..sample import Sample
from .made_by import made_by
from .modality import Features, Prepared

WINDOW_SECONDS = 10.24  # what AST was trained on


@dataclass(frozen=True)
class AudioReader:
    """Windows as the backbone takes them: {"windows": (windows, time, mel), "num_valid": (windows,)}."""

    settings: AudioSettings
    preparation: Preparation[AudioWindows]

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample."""
        windows = decode_audio(
            sample.files["audio"][0], window_seconds=WINDOW_SECONDS, max_seconds=self.settings.max_seconds
        )
        return Prepared({"windows": self.preparation(windows), "num_valid": torch.from_numpy(windows.num_valid)})


class AudioEncoder:
    """Tokens (time, dim), padded to the longest recording, with their number; and the pooled embedding (dim,)."""

    def __init__(self, backbone: AudioBackbone, *, settings: AudioSettings, cache: CacheSettings) -> None:
        self._backbone = backbone
        self.reader = AudioReader(settings=settings, preparation=backbone.preparation)
        self._capacity = ceil(settings.max_seconds / WINDOW_SECONDS) * backbone.num_tokens
        arrays = [
            ArraySpec("tokens", (self._capacity, backbone.dim), ("time", "dim"), cache.dtype),
            ArraySpec("tokens_length", (), (), "int32"),
            ArraySpec("embedding", (backbone.dim,), ("dim",), cache.dtype),
        ]
        decoding = {"window_seconds": WINDOW_SECONDS, "max_seconds": settings.max_seconds, "windows": "consecutive"}
        self.spec = ModalitySpec("audio", arrays, made_by(backbone.spec, decoding=decoding))

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        """All windows of all samples are one batch."""
        counts = [len(item.tensors["windows"]) for item in prepared]
        encoded = self._backbone(torch.cat([item.tensors["windows"] for item in prepared]))
        tokens = encoded["tokens"].float().cpu().numpy()
        embeddings = encoded["embedding"].float().cpu().numpy()
        bounds = np.cumsum([0, *counts])
        return [
            self._features(tokens[start:stop], embeddings[start:stop], item.tensors["num_valid"].numpy())
            for item, start, stop in zip(prepared, bounds[:-1], bounds[1:], strict=True)
        ]

    def _features(self, tokens: np.ndarray, embeddings: np.ndarray, num_valid: np.ndarray) -> Features:
        # Every window but the last is full, so the real tokens are one run from the start.
        lengths = [self._backbone.num_valid_tokens(int(samples)) for samples in num_valid]
        length = (len(lengths) - 1) * tokens.shape[1] + lengths[-1]
        padded = np.zeros((self._capacity, tokens.shape[2]), dtype=np.float32)
        padded[:length] = tokens.reshape(-1, tokens.shape[2])[:length]
        share = num_valid / num_valid.sum()
        return {
            "tokens": padded,
            "tokens_length": np.array(length, dtype=np.int32),
            "embedding": np.einsum("w,wd->d", share, embeddings),
        }
