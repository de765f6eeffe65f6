"""Pictures through a vision transformer, DINOv2 or DINOv3: tokens of chosen blocks, and nothing run beyond them.

Block k means the output of the k-th block, counted from 1, before the final norm: what transformers calls
`hidden_states[k]`, index 0 being the embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

from ...documents import Json
from ...errors import BackboneError
from ..decode.decoded import Photographs
from ..flops import count_flops
from .checkpoint import Checkpoint
from .dino import Trunk, dinov2_trunk, dinov3_trunk
from .families import FAMILY_OF_MODEL_TYPE
from .preprocessing import (
    IMAGE_FILES,
    PUBLISHED_IMAGE_SIZE,
    PhotographPreparation,
    PixelPreprocessing,
    check_divides,
    read_pixel_preprocessing,
)
from .pretrained import LazyModel, Placement, load_config, patch_side
from .spec import BackboneSpec, Preparation

_OUTPUT: dict[str, Json] = {
    "hidden_state": "output of the block, before the final norm",
    "patch_tokens": "patches by rows, without CLS and register tokens",
    "cls": "CLS token",
    "mean": "mean over patches, in float32",
}


class VisionTransformer:
    """A frozen vision transformer: `num_patches` tokens of `dim` numbers for each picture and each of `blocks`."""

    def __init__(
        self,
        trunk: LazyModel[Trunk],
        *,
        config: Dinov2Config | DINOv3ViTConfig,
        blocks: tuple[int, ...],
        pixels: PixelPreprocessing,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[Photographs] = PhotographPreparation(pixels)
        self.blocks = blocks
        self.dim: int = config.hidden_size
        self.num_patches = (pixels.size // patch_side(config.patch_size)) ** 2
        self._trunk = trunk
        self._pixels = pixels

    def load(self) -> None:
        """Bring the weights into memory, unless they are there; raises BackboneError where that cannot be done."""
        self._trunk.get()

    def __call__(
        self, batch: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int] | None = None
    ) -> dict[int, dict[str, Tensor]]:
        """Features by block, for `blocks` or for all of the backbone's own; the deepest of them is the last to run.

        `patch_tokens` (pictures, patches, dim), by rows from the top left, without CLS and register tokens; `cls`
        (pictures, dim); both in the backbone's arithmetic. `mean` (pictures, dim), over patches, in float32.
        """
        return self._encode(self._trunk.get(), self._trunk.placement.move(batch), blocks=self._chosen(blocks))

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        """What one picture costs, for `blocks` or for all of the backbone's own; takes no weights."""
        side = self._pixels.size
        picture = torch.empty((1, 3, side, side), dtype=torch.uint8, device="meta")
        return count_flops(self._encode, self._trunk.outline(), picture, blocks=self._chosen(blocks))

    def _chosen(self, blocks: Sequence[int] | None) -> Sequence[int]:
        chosen = self.blocks if blocks is None else blocks
        assert chosen and set(chosen) <= set(self.blocks), f"blocks {chosen} are not among {self.blocks}"
        return chosen

    @torch.inference_mode()
    def _encode(
        self, trunk: Trunk, pixels: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int]
    ) -> dict[int, dict[str, Tensor]]:
        pictures: Float[Tensor, "pictures 3 size size"] = self._pixels.normalise(pixels).to(self._trunk.placement.dtype)
        outputs = enumerate(islice(trunk.block_outputs(pictures), max(blocks)), start=1)
        return {
            block: _features(tokens, num_prefix_tokens=trunk.num_prefix_tokens)
            for block, tokens in outputs
            if block in blocks
        }


@dataclass(frozen=True)
class Look:
    """How somebody looks at pictures through a model."""

    setting: str  # that `blocks` come from, for messages
    blocks: tuple[int, ...] | None  # None: the last
    size: int | None  # None: the model's own


def load_vision_transformers(
    checkpoint: Checkpoint, looks: Sequence[Look], *, placement: Placement
) -> list[VisionTransformer]:
    """The DINOv2 or DINOv3 in `checkpoint` for each of `looks`, on one set of weights, up to the deepest block of all.

    Raises BackboneError where it has no such block or its patches do not fit a size.
    """
    config = _load_config(checkpoint)
    num_blocks = config.num_hidden_layers
    blocks = [_checked_blocks(look, num_blocks=num_blocks, model=checkpoint.model) for look in looks]
    config.num_hidden_layers = max(max(chosen) for chosen in blocks)  # deeper ones are not even loaded
    preprocessing = [_preprocessing(look, checkpoint=checkpoint, config=config) for look in looks]
    trunk = _load_trunk(checkpoint, config=config, placement=placement)
    return [
        VisionTransformer(
            trunk,
            config=config,
            blocks=chosen,
            pixels=pixels,
            spec=trunk.describe(preprocessing=pixels.to_manifest(), output=_OUTPUT),
        )
        for chosen, pixels in zip(blocks, preprocessing, strict=True)
    ]


def _preprocessing(look: Look, *, checkpoint: Checkpoint, config: Dinov2Config | DINOv3ViTConfig) -> PixelPreprocessing:
    pixels = read_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, size=look.size, default_size=PUBLISHED_IMAGE_SIZE
    )
    check_divides(pixels.size, patch=patch_side(config.patch_size), model=checkpoint.model)
    return pixels


def _load_config(checkpoint: Checkpoint) -> Dinov2Config | DINOv3ViTConfig:
    if FAMILY_OF_MODEL_TYPE[checkpoint.model_type] == "dinov3":
        return load_config(DINOv3ViTConfig, checkpoint=checkpoint)
    return load_config(Dinov2Config, checkpoint=checkpoint)


def _load_trunk(
    checkpoint: Checkpoint, *, config: Dinov2Config | DINOv3ViTConfig, placement: Placement
) -> LazyModel[Trunk]:
    if isinstance(config, DINOv3ViTConfig):
        return LazyModel(DINOv3ViTModel, part=dinov3_trunk, checkpoint=checkpoint, config=config, placement=placement)
    return LazyModel(Dinov2Model, part=dinov2_trunk, checkpoint=checkpoint, config=config, placement=placement)


def _features(
    tokens: Float[Tensor, "pictures tokens dim"], *, num_prefix_tokens: int
) -> dict[str, Float[Tensor, "pictures *patches dim"]]:
    patches = tokens[:, num_prefix_tokens:]
    return {"patch_tokens": patches, "cls": tokens[:, 0], "mean": patches.mean(dim=1, dtype=torch.float32)}


def _checked_blocks(look: Look, *, num_blocks: int, model: str) -> tuple[int, ...]:
    """The blocks, counted from 1, that are looked at; raises BackboneError unless a model of `num_blocks` has them."""
    blocks = (num_blocks,) if look.blocks is None else look.blocks
    beyond = [block for block in blocks if not 1 <= block <= num_blocks]
    if beyond or not blocks:
        raise BackboneError(
            f"{model}: has {num_blocks} blocks, counted from 1, and {look.setting} asks for {list(blocks)}; choose "
            f"among 1 to {num_blocks}."
        )
    return blocks
