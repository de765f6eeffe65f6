"""What a backbone is: the interface that every model family offers, and the description that the store keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor

from ...cache.provenance import Json
from ..decode.decoded import AudioWindows, Photographs, VideoClip

Decoded = TypeVar("Decoded", contravariant=True)


@dataclass(frozen=True)
class BackboneSpec:
    """What made a feature: enough to tell whether another extraction would give the same numbers."""

    family: str  # vjepa2, ast, dinov3, dinov2, clip_text
    model: str  # hub id or the folder's name
    revision: str  # the hub's commit, or "local"
    weights_sha256: str  # of the weights as loaded
    random_weights: bool  # true for demo backbones, which know nothing
    preprocessing: Mapping[str, Json]  # size, mean, std, rescale factor, interpolation, ... as applied
    output: Mapping[str, Json]  # which hidden states, pooled how, before or after the final norm

    def to_manifest(self) -> dict[str, Json]:
        """As plain JSON values."""
        return {
            "family": self.family,
            "model": self.model,
            "revision": self.revision,
            "weights_sha256": self.weights_sha256,
            "random_weights": self.random_weights,
            "preprocessing": dict(self.preprocessing),
            "output": dict(self.output),
        }


class Preparation(Protocol[Decoded]):
    """A backbone's own preprocessing, without its weights: light, and sent to the decode workers."""

    def __call__(self, decoded: Decoded) -> Tensor:
        """Decoded arrays to the model's float32 input for one sample, on the CPU."""
        ...


class Backbone(Protocol[Decoded]):
    """A frozen model on its device."""

    spec: BackboneSpec
    preparation: Preparation[Decoded]
    dim: int  # width of a token

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """Features of a prepared batch, without gradients; the batch is moved to the model's device."""
        ...


class VideoBackbone(Backbone[VideoClip], Protocol):
    """Clips (batch, time, 3, size, size) to `tokens` (batch, num_tokens, dim)."""

    num_tokens: int


class AudioBackbone(Backbone[AudioWindows], Protocol):
    """Windows (batch, time, mel) to `tokens` (batch, num_tokens, dim) and `embedding` (batch, dim)."""

    num_tokens: int

    def num_valid_tokens(self, num_valid: int) -> int:
        """How many of a window's tokens see any of its first `num_valid` samples."""
        ...


class ImageBackbone(Backbone[Photographs], Protocol):
    """Pictures (batch, 3, size, size) to `patch_tokens` (batch, blocks, num_patches, dim) and `cls` (batch, blocks, dim)."""

    num_patches: int
