"""What a backbone is: the interface that every model family offers, and the description that the store keeps.

Nothing here imports transformers, which takes two seconds: decode processes need none of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ...documents import Json
from ...errors import BackboneError
from ...wording import shortened
from ..decode.decoded import AudioWindows, Photographs, VideoClip

Family = Literal["vjepa2", "ast", "yamnet", "dinov3", "dinov2", "efficientnet_lite", "clip_text"]

FAMILY_OF_MODEL_TYPE: Mapping[str, Family] = {
    "vjepa2": "vjepa2",
    "audio-spectrogram-transformer": "ast",
    "yamnet": "yamnet",
    "dinov3_vit": "dinov3",
    "dinov2": "dinov2",
    "efficientnet_lite": "efficientnet_lite",
    "clip": "clip_text",
    "clip_text_model": "clip_text",
}

# How a person knows them.
TITLES: Mapping[Family, str] = {
    "vjepa2": "V-JEPA 2",
    "ast": "Audio Spectrogram Transformer",
    "yamnet": "YAMNet",
    "dinov3": "DINOv3 ViT",
    "dinov2": "DINOv2",
    "efficientnet_lite": "EfficientNet-Lite",
    "clip_text": "CLIP",
}

Decoded = TypeVar("Decoded", contravariant=True)
Parameters = ParamSpec("Parameters")

_NAMES_SHOWN = 12


@dataclass(frozen=True)
class Placement:
    """Where a backbone runs and in which arithmetic."""

    device: torch.device
    dtype: torch.dtype  # float32; or bfloat16 or float16, where the device is fast at it

    def move(self, batch: Tensor) -> Tensor:
        """The batch on the device, in its own type; a pinned one must be left alone until its features are read."""
        return batch.to(self.device, non_blocking=True)


@dataclass(frozen=True)
class BackboneSpec:
    """What made a feature: enough to tell whether another extraction would give the same numbers."""

    family: str  # one of `Family`, or what the model calls its kind itself
    model: str  # hub id, weights:NAME or the folder's name
    revision: str  # the hub's commit, or "local"
    weights_sha256: str  # of the weights as loaded
    random_weights: bool  # true for demo backbones, which know nothing
    arithmetic: str  # the type it computes in: float32, bfloat16, float16
    preprocessing: Mapping[str, Json]  # size, mean, std, rescale factor, interpolation, ... as applied
    output: Mapping[str, Json]  # which hidden states, pooled how, before or after the final norm
    origin: Mapping[str, Json] | None = None  # source and licence, where they are known

    def to_manifest(self) -> dict[str, Json]:
        """As plain JSON values; without an origin, where it is not known."""
        origin: dict[str, Json] = {} if self.origin is None else {"origin": dict(self.origin)}
        return {
            "family": self.family,
            "model": self.model,
            "revision": self.revision,
            "weights_sha256": self.weights_sha256,
            "random_weights": self.random_weights,
            "arithmetic": self.arithmetic,
            "preprocessing": dict(self.preprocessing),
            "output": dict(self.output),
            **origin,
        }


@runtime_checkable
class Preparation(Protocol[Decoded]):
    """The half of a backbone's preprocessing that needs no device: light, and sent to the decode workers."""

    def __call__(self, decoded: Decoded) -> Tensor:
        """Decoded arrays to the model's input for one sample, on the CPU: pixels in uint8, sound in float32."""


@runtime_checkable
class Backbone(Protocol[Decoded]):
    """A frozen model, described from the start and in memory from its first call on.

    Calling it on a prepared batch moves the batch to the model's device, does the rest of the preprocessing there and
    gives features on that device, without gradients.
    """

    @property
    def spec(self) -> BackboneSpec:
        """What the store keeps of it."""

    @property
    def preparation(self) -> Preparation[Decoded]:
        """Its preprocessing up to the transport."""

    def load(self) -> None:
        """Bring the weights into memory, unless they are there.

        Raises:
            BackboneError: if they are another model's, not whole, or have changed since they were described.
        """

    def flops(self) -> int:
        """Floating-point operations of one clip, window or picture, a multiply-add being two; takes no weights."""


@runtime_checkable
class VideoBackbone(Backbone[VideoClip], Protocol):
    """Clips to features of each tubelet and of the whole."""

    @property
    def dim(self) -> int:
        """Width of a token."""

    @property
    def num_tokens(self) -> int:
        """Tokens a clip."""

    def __call__(self, batch: UInt8[Tensor, "clips time 3 size size"]) -> dict[str, Tensor]:
        """`tokens` (clips, num_tokens, dim) and `embedding` (clips, dim), both float32."""


@runtime_checkable
class AudioBackbone(Backbone[AudioWindows], Protocol):
    """Windows of sound to features of each stretch of time and of the whole."""

    @property
    def dim(self) -> int:
        """Width of a token."""

    @property
    def num_tokens(self) -> int:
        """Tokens a window."""

    def num_valid_tokens(self, num_valid: int) -> int:
        """How many of a window's tokens see any of its first `num_valid` samples."""

    def __call__(self, batch: Float32[Tensor, "windows time mel"]) -> dict[str, Tensor]:
        """`tokens` (windows, num_tokens, dim), float32, and `embedding` (windows, dim)."""


@runtime_checkable
class ImageBackbone(Backbone[Photographs], Protocol):
    """Pictures to features of each patch and of the whole, for each of several blocks."""

    @property
    def blocks(self) -> tuple[int, ...]:
        """The blocks whose outputs it gives, from 1; of a convolutional network, its stages."""

    def shapes(self, block: int) -> Mapping[str, tuple[int, ...]]:
        """Of each array that it gives of a block, without the axis of pictures.

        `patch_tokens` (patches, dim) and `mean` (dim,) are always among them; a transformer has `cls` (dim,).
        """

    def __call__(
        self, batch: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int] | None = None
    ) -> dict[int, dict[str, Tensor]]:
        """By block, for some or all of its own, none deeper being run.

        Arrays of `shapes`, pictures first: `patch_tokens` in the model's arithmetic, what is pooled in float32.
        """

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        """Floating-point operations of one picture up to the deepest of `blocks`, or of all of its own."""


def checked_blocks(
    blocks: tuple[int | str, ...] | None, *, num_blocks: int, model: str, key: str, names: Sequence[str] = ()
) -> tuple[int, ...]:
    """The blocks, counted from 1 and ascending; `names` are those by which a model knows its blocks, if it does.

    Raises BackboneError unless a model of `num_blocks` has them, each asked for once.
    """
    chosen = (num_blocks,) if blocks is None else blocks
    numbers = [names.index(block) + 1 if block in names else block for block in chosen]
    known = [number for number in numbers if isinstance(number, int) and 1 <= number <= num_blocks]
    if not chosen or len(set(known)) < len(chosen):
        named = f", or by name {shortened(names, most=_NAMES_SHOWN)}" if names else ""
        raise BackboneError(
            f"{model}: has {num_blocks} blocks, counted from 1, and {key} asks for {list(chosen)}; choose among 1 to "
            f"{num_blocks}{named}, each once."
        )
    return tuple(sorted(known))


def chosen_among(offered: Sequence[int], blocks: Sequence[int] | None) -> Sequence[int]:
    """Some of the blocks that a backbone offers; None: all of them."""
    chosen = offered if blocks is None else blocks
    assert chosen and set(chosen) <= set(offered), f"blocks {chosen} are not among {offered}"
    return chosen


def count_flops(function: Callable[Parameters, object], *args: Parameters.args, **kwargs: Parameters.kwargs) -> int:
    """FLOPs of the call, a multiply-add being two; it is run once, on whatever device its tensors are.

    What is counted is matrix products, convolutions and attention; element-wise work is not, as is usual. On the meta
    device a call costs neither memory nor arithmetic, so a full-size model is counted in about a second on any machine.
    """
    with FlopCounterMode(display=False, custom_mapping=dict(_FORMULAS)) as counter:
        function(*args, **kwargs)
    return int(counter.get_total_flops())


def _attention_flops(query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object) -> int:
    batch, heads, num_queries, width = query
    return 2 * batch * heads * num_queries * key[-2] * (width + value[-1])  # scores, then their sum of values


# PyTorch's own table knows the attention kernels of CUDA, and counts the CPU's as nothing.
_FORMULAS: Mapping[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops
}
