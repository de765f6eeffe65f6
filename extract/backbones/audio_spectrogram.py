"""The Audio Spectrogram Transformer (AST), the audio backbone: tokens over time for each window of sound.

Gong, Chung and Glass, "AST: Audio Spectrogram Transformer" (Interspeech 2021). A window's log-mel spectrogram, 1024
frames of 10 ms by 128 bins, is cut into overlapping patches of 16 x 16; their tokens are averaged over frequency.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float32
from torch import Tensor
from transformers import ASTConfig, ASTFeatureExtractor, ASTModel
from transformers.utils.import_utils import is_speech_available

from ...documents import Json
from ...errors import BackboneError
from ..decode.decoded import AudioWindows
from .checkpoint import Checkpoint
from .pretrained import LazyModel, Models, load_config, patch_side, quiet_transformers, whole
from .spec import BackboneSpec, Preparation, count_flops

SAMPLE_RATE = 16_000  # Hz
FRAME_SAMPLES = 400  # 25 ms, the extractor's analysis window
HOP_SAMPLES = 160  # 10 ms
WINDOW_FRAMES = 1024  # 10.24 s

EXTRACTOR_FILE = "preprocessor_config.json"
NUM_SPECIAL_TOKENS = 2  # CLS and distillation


@dataclass(frozen=True)
class SpectrogramPreparation:
    """Windows of sound to AST's input, by the model's own feature extractor."""

    extractor: ASTFeatureExtractor

    def __call__(self, decoded: AudioWindows) -> Float32[Tensor, "windows time mel"]:
        """Normalised log-mel frames.

        A window that is not full goes in without its padding: the extractor then pads the spectrogram as in AST's
        training, while zero samples would be digital silence, which is loud in a logarithm.
        """
        pairs = zip(decoded.samples, decoded.num_valid, strict=True)
        waveforms = [samples[: max(int(valid), FRAME_SAMPLES)] for samples, valid in pairs]
        frames = self.extractor(waveforms, sampling_rate=SAMPLE_RATE, return_tensors="np")["input_values"]
        return torch.from_numpy(np.asarray(frames, dtype=np.float32))


class AudioSpectrogramTransformer:
    """AST, frozen: `num_tokens` tokens of `dim` numbers for each window of sound."""

    def __init__(
        self,
        model: LazyModel[ASTModel],
        *,
        config: ASTConfig,
        extractor: ASTFeatureExtractor,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[AudioWindows] = SpectrogramPreparation(extractor)
        self.dim: int = config.hidden_size
        self.num_tokens: int = (config.max_length - patch_side(config.patch_size)) // config.time_stride + 1
        self._time_stride: int = config.time_stride
        self._input_shape = (config.max_length, config.num_mel_bins)
        self._model = model

    def load(self) -> None:
        self._model.get()

    def __call__(self, batch: Float32[Tensor, "windows time mel"]) -> dict[str, Tensor]:
        """`tokens` (windows, num_tokens, dim), mean over frequency, and `embedding` (windows, dim), AST's own pooling.

        Both are after the final norm; tokens are in float32, as every mean, the embedding in the model's arithmetic.
        """
        return self._encode(self._model.get(), self._model.placement.move(batch))

    def flops(self) -> int:
        """What one window costs; takes no weights."""
        return count_flops(self._encode, self._model.outline(), torch.empty((1, *self._input_shape), device="meta"))

    @torch.inference_mode()
    def _encode(self, model: ASTModel, frames: Float32[Tensor, "windows time mel"]) -> dict[str, Tensor]:
        output = model(frames.to(self._model.placement.dtype))
        patches: Tensor = output.last_hidden_state[:, NUM_SPECIAL_TOKENS:]
        # The patch embedding transposes its input to (mel, time) and flattens in that order: time runs fastest.
        by_time = rearrange(patches, "windows (mel time) dim -> windows mel time dim", time=self.num_tokens)
        return {"tokens": by_time.mean(dim=1, dtype=torch.float32), "embedding": output.pooler_output}

    def num_valid_tokens(self, num_valid: int) -> int:
        frames = 0 if num_valid <= 0 else 1 + max(0, num_valid - FRAME_SAMPLES) // HOP_SAMPLES
        return min(ceil(frames / self._time_stride), self.num_tokens)


def load_ast(checkpoint: Checkpoint, *, models: Models) -> AudioSpectrogramTransformer:
    """The model in `checkpoint`; raises BackboneError where it is not an AST, or its extractor does not fit it."""
    config = load_config(ASTConfig, checkpoint=checkpoint)
    if config.max_length != WINDOW_FRAMES:
        raise BackboneError(
            f"{checkpoint.model}: takes {config.max_length} frames, and windows of sound have {WINDOW_FRAMES} "
            "(10.24 s); choose an AST for that length."
        )
    extractor = _load_extractor(checkpoint, config=config)
    model = models.of(ASTModel, part=whole, checkpoint=checkpoint, config=config)
    spec = model.describe(
        preprocessing=_describe_extractor(extractor),
        output={
            "hidden_state": "last, after the final norm",
            "tokens": "patches, mean over frequency in float32",
            "embedding": "mean of the CLS and distillation tokens",
        },
    )
    return AudioSpectrogramTransformer(model, config=config, extractor=extractor, spec=spec)


def published_extractor(*, num_mel_bins: int, max_length: int) -> ASTFeatureExtractor:
    """The extractor with AudioSet's mean and standard deviation, which all published AST models use."""
    with quiet_transformers():
        return ASTFeatureExtractor(num_mel_bins=num_mel_bins, max_length=max_length)  # type: ignore[no-untyped-call]


def _load_extractor(checkpoint: Checkpoint, *, config: ASTConfig) -> ASTFeatureExtractor:
    shape = {"num_mel_bins": config.num_mel_bins, "max_length": config.max_length}
    path = checkpoint.folder / EXTRACTOR_FILE
    if not path.is_file():
        return published_extractor(**shape)
    try:
        with quiet_transformers():
            extractor = ASTFeatureExtractor.from_pretrained(checkpoint.folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise BackboneError(f"{path}: {error}; fetch the model again.") from error
    for name, expected in {**shape, "sampling_rate": SAMPLE_RATE}.items():
        if getattr(extractor, name) != expected:
            raise BackboneError(
                f"{path}: {name} is {getattr(extractor, name)} where the model needs {expected}; fetch the model again."
            )
    return extractor


def _describe_extractor(extractor: ASTFeatureExtractor) -> dict[str, Json]:
    return {
        "sampling_rate": extractor.sampling_rate,
        "num_mel_bins": extractor.num_mel_bins,
        "max_length": extractor.max_length,
        "mean": extractor.mean if extractor.do_normalize else 0.0,
        "std": extractor.std if extractor.do_normalize else 0.5,  # the extractor divides by twice this
        # The extractor computes mel frames with torchaudio where that is installed; last digits then differ.
        "filter_bank": "torchaudio" if is_speech_available() else "transformers",
        "padding": "spectrogram, by the extractor",
    }
