"""What a backbone is: the interface that every model family offers, and the description that the store keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

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
    arithmetic: str  # the type it computes in: float32, bfloat16
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
            "arithmetic": self.arithmetic,
            "preprocessing": dict(self.preprocessing),
            "output": dict(self.output),
        }


@runtime_checkable
class Preparation(Protocol[Decoded]):
    """A backbone's own preprocessing, without its weights: light, and sent to the decode workers."""

    def __call__(self, decoded: Decoded) -> Tensor:
        """Decoded arrays to the model's float32 input for one sample, on the CPU."""
        ...


@runtime_checkable
class Backbone(Protocol[Decoded]):
    """A frozen model on its device."""

    @property
    def spec(self) -> BackboneSpec:
        """What the store keeps of it."""
        ...

    @property
    def preparation(self) -> Preparation[Decoded]:
        """Its preprocessing."""
        ...

    @property
    def dim(self) -> int:
        """Width of a token."""
        ...

    def __call__(self, batch: Tensor) -> dict[str, Tensor]:
        """Features of a prepared batch, without gradients; the batch is moved to the model's device."""
        ...


@runtime_checkable
class VideoBackbone(Backbone[VideoClip], Protocol):
    """Clips (batch, time, 3, size, size) to `tokens` (batch, num_tokens, dim)."""

    @property
    def num_tokens(self) -> int:
        """Tokens a clip."""
        ...


@runtime_checkable
class AudioBackbone(Backbone[AudioWindows], Protocol):
    """Windows (batch, time, mel) to `tokens` (batch, num_tokens, dim) and `embedding` (batch, dim)."""

    @property
    def num_tokens(self) -> int:
        """Tokens a window."""
        ...

    def num_valid_tokens(self, num_valid: int) -> int:
        """How many of a window's tokens see any of its first `num_valid` samples."""
        ...


@runtime_checkable
class ImageBackbone(Backbone[Photographs], Protocol):
    """Pictures (batch, 3, size, size) to `patch_tokens` (batch, blocks, patches, dim) and `cls` without patches."""

    @property
    def num_patches(self) -> int:
        """Patches a picture."""
        ...
