"""YAMNet, a small convolutional network for sound: a token for each stretch of time, of any of its fourteen layers.

Plakal and Ellis, YAMNet (2019): MobileNet v1 on log-mel spectrograms, trained on AudioSet. It was trained on 0.96 s at
a time, and a window goes through it in such pieces, side by side: on longer ones it does not even know silence. Block k
means layer k, counted from 1, after its activation; tokens of a middle layer are finer in time than those of the last.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil, log

import numpy as np
import torch
from einops import rearrange
from huggingface_hub.dataclasses import strict
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedConfig, PreTrainedModel

from ...documents import Json
from ..decode.decoded import AudioWindows
from .checkpoint import Checkpoint
from .convolution import FrozenNorm, SameConvolution
from .pretrained import LazyModel, Models, load_config, whole
from .spec import BackboneSpec, Preparation, checked_blocks, count_flops

SAMPLE_RATE = 16_000  # Hz
FRAME_SAMPLES, HOP_SAMPLES = 400, 160  # 25 and 10 ms
FFT_SAMPLES = 512
NUM_MELS = 64
LOWEST, HIGHEST = 125.0, 7_500.0  # Hz
LOG_OFFSET = 0.001
WINDOW_FRAMES = 1 + (163_840 - FRAME_SAMPLES) // HOP_SAMPLES  # of windows of 10.24 s
PIECE_FRAMES = 96

_NORM_EPSILON = 1e-4
_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)


@strict
class YamnetConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """The widths of the layers; `num_hidden_layers` of them are made."""

    model_type = "yamnet"

    widths: list[int] | tuple[int, ...] = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    num_classes: int = 521
    num_hidden_layers: int = 14

    def validate_layers(self) -> None:
        """Called by `strict`; raises ValueError unless each layer has a width."""
        if len(self.widths) != len(_STRIDES) or min(self.widths) < 1:
            raise ValueError(f"widths are {len(_STRIDES)} positive numbers")
        if not 1 <= self.num_hidden_layers <= len(_STRIDES):
            raise ValueError(f"num_hidden_layers is from 1 to {len(_STRIDES)}")


@dataclass(frozen=True)
class LogMelPreparation:
    """Windows of sound to log-mel frames, as YAMNet was trained on."""

    def __call__(self, decoded: AudioWindows) -> Float32[Tensor, "windows time mel"]:
        """Frames of each window; what is not recording is as quiet as the logarithm's offset."""
        frames = np.full((len(decoded.samples), WINDOW_FRAMES, NUM_MELS), log(LOG_OFFSET), dtype=np.float32)
        for window, samples, valid in zip(frames, decoded.samples, decoded.num_valid, strict=True):
            made = log_mel(samples[: max(int(valid), FRAME_SAMPLES)])
            window[: len(made)] = made
        return torch.from_numpy(frames)


def log_mel(samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, "time mel"]:
    """Log-mel frames of samples at 16 kHz; the last samples, which fill no frame, are left out."""
    cut = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::HOP_SAMPLES]
    window = np.hanning(FRAME_SAMPLES + 1)[:-1]  # periodic
    magnitudes = np.abs(np.fft.rfft(cut * window, n=FFT_SAMPLES))
    mel: Float32[np.ndarray, "time mel"] = np.log(magnitudes @ _mel_filters() + LOG_OFFSET).astype(np.float32)
    return mel


def _mel_filters() -> np.ndarray:
    """Triangles on the mel scale (HTK's), (frequencies, mels), as TensorFlow makes them: each of height 1."""

    def mel(frequency: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(frequency / 700.0)

    bins = mel(np.linspace(0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1))[:, None]
    edges = np.linspace(mel(np.array(LOWEST)), mel(np.array(HIGHEST)), NUM_MELS + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    filters: np.ndarray = np.maximum(0, np.minimum((bins - low) / (middle - low), (high - bins) / (high - middle)))
    return filters


class SeparableLayer(nn.Module):
    """Depthwise, then pointwise, each with its norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.depthwise = SameConvolution(inputs, inputs, kernel=3, stride=stride, groups=inputs)
        self.depthwise_norm = FrozenNorm(inputs, epsilon=_NORM_EPSILON)
        self.pointwise = SameConvolution(inputs, outputs, kernel=1)
        self.pointwise_norm = FrozenNorm(outputs, epsilon=_NORM_EPSILON)

    def forward(self, maps: Float[Tensor, "batch inputs time mel"]) -> Float[Tensor, "batch outputs rows columns"]:
        maps = functional.relu(self.depthwise_norm(self.depthwise(maps)))
        return functional.relu(self.pointwise_norm(self.pointwise(maps)))


class FirstLayer(nn.Module):
    """A full convolution with its norm and ReLU."""

    def __init__(self, outputs: int, *, stride: int) -> None:
        super().__init__()
        self.convolution = SameConvolution(1, outputs, kernel=3, stride=stride)
        self.norm = FrozenNorm(outputs, epsilon=_NORM_EPSILON)

    def forward(self, maps: Float[Tensor, "batch 1 time mel"]) -> Float[Tensor, "batch outputs rows columns"]:
        return functional.relu(self.norm(self.convolution(maps)))


class Yamnet(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The network: layers, and the head that tells AudioSet's classes."""

    config_class = YamnetConfig
    config: YamnetConfig
    main_input_name = "frames"
    _supports_sdpa = True  # it has no attention, so that any kind is right

    def __init__(self, config: YamnetConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = [FirstLayer(config.widths[0], stride=_STRIDES[0])]
        for number in range(1, config.num_hidden_layers):
            inputs, outputs = config.widths[number - 1 : number + 1]
            layers.append(SeparableLayer(inputs, outputs, stride=_STRIDES[number]))
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(config.widths[-1], config.num_classes)
        self.post_init()  # type: ignore[no-untyped-call]

    def layer_outputs(self, frames: Float[Tensor, "windows time mel"]) -> Iterator[Tensor]:
        """Maps after each layer in turn, (windows, channels, time, mel); a layer runs when it is asked for."""
        maps = frames[:, None]
        for layer in self.layers:
            maps = layer(maps)
            yield maps

    def forward(self, frames: Float[Tensor, "windows time mel"]) -> Float[Tensor, "windows classes"]:
        """Logits of the classes, each by itself, for which all layers are needed."""
        *_, maps = self.layer_outputs(frames)
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits


class LayerOfYamnet:
    """A frozen YAMNet: `num_tokens` tokens of `dim` numbers for each window of sound, after one of its layers."""

    def __init__(self, model: LazyModel[Yamnet], *, config: YamnetConfig, block: int, spec: BackboneSpec) -> None:
        self.spec = spec
        self.preparation: Preparation[AudioWindows] = LogMelPreparation()
        self.dim: int = config.widths[block - 1]
        self._block = block
        self._model = model
        self.num_tokens = self._tokens_of(WINDOW_FRAMES)

    def load(self) -> None:
        self._model.get()

    def __call__(self, batch: Float32[Tensor, "windows time mel"]) -> dict[str, Tensor]:
        """`tokens`, mean over frequency, and `embedding`, mean over time too; both in float32."""
        return self._encode(self._model.get(), self._model.placement.move(batch))

    def flops(self) -> int:
        frames = torch.empty((1, WINDOW_FRAMES, NUM_MELS), device="meta")
        return count_flops(self._encode, self._model.outline(), frames)

    @torch.inference_mode()
    def _encode(self, model: Yamnet, frames: Float32[Tensor, "windows time mel"]) -> dict[str, Tensor]:
        lacking = -frames.shape[1] % PIECE_FRAMES
        padded = functional.pad(frames, (0, 0, 0, lacking), value=log(LOG_OFFSET)).to(self._model.placement.dtype)
        pieces = rearrange(padded, "window (piece time) mel -> (window piece) time mel", time=PIECE_FRAMES)
        maps = next(islice(model.layer_outputs(pieces), self._block - 1, None))
        by_time = maps.mean(dim=3, dtype=torch.float32)
        tokens = rearrange(by_time, "(window piece) dim time -> window (piece time) dim", window=len(frames))
        tokens = tokens[:, : self.num_tokens]  # without those that see padding alone
        return {"tokens": tokens, "embedding": tokens.mean(dim=1)}

    def num_valid_tokens(self, num_valid: int) -> int:
        frames = 0 if num_valid <= 0 else 1 + max(0, num_valid - FRAME_SAMPLES) // HOP_SAMPLES
        return min(self._tokens_of(frames), self.num_tokens)

    def _tokens_of(self, frames: int) -> int:
        for stride in _STRIDES[: self._block]:
            frames = ceil(frames / stride)
        return frames


def load_yamnet(checkpoint: Checkpoint, *, key: str, block: int | None, models: Models) -> LayerOfYamnet:
    """The YAMNet in `checkpoint` up to the layer `block` (None: its last).

    Raises BackboneError where it has no such layer; `key` is for messages.
    """
    config = load_config(YamnetConfig, checkpoint=checkpoint)
    asked = None if block is None else (block,)
    (chosen,) = checked_blocks(asked, num_blocks=config.num_hidden_layers, model=checkpoint.model, key=key)
    config.num_hidden_layers = chosen  # deeper ones are not even loaded
    model = models.of(Yamnet, part=whole, checkpoint=checkpoint, config=config)
    output: dict[str, Json] = {
        "hidden_state": f"layer {chosen}, after its activation",
        "pieces": PIECE_FRAMES,
        "tokens": "mean over frequency, in float32",
        "embedding": "mean over time and frequency, in float32",
    }
    spec = model.describe(preprocessing=_PREPROCESSING, output=output)
    return LayerOfYamnet(model, config=config, block=chosen, spec=spec)


_PREPROCESSING: dict[str, Json] = {
    "sampling_rate": SAMPLE_RATE,
    "num_mel_bins": NUM_MELS,
    "frame_samples": FRAME_SAMPLES,
    "hop_samples": HOP_SAMPLES,
    "mel_hz": [LOWEST, HIGHEST],
    "log_offset": LOG_OFFSET,
    "padding": "spectrogram, by the offset",
}
