"""Pictures through a vision transformer, DINOv2 or DINOv3: tokens of chosen blocks, and nothing run beyond them.

Block k means the output of the k-th block, counted from 1, before the final norm: what transformers calls
`hidden_states[k]`, index 0 being the embedding.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model, DINOv3ViTConfig, DINOv3ViTModel

from ...documents import Json
from ..decode.decoded import Photographs
from .checkpoint import Checkpoint
from .preprocessing import (
    IMAGE_FILES,
    PUBLISHED_IMAGE_SIZE,
    PhotographPreparation,
    PixelPreprocessing,
    check_divides,
    read_pixel_preprocessing,
)
from .pretrained import LazyModel, Models, load_config, patch_side
from .spec import FAMILY_OF_MODEL_TYPE, BackboneSpec, Preparation, checked_blocks, chosen_among, count_flops

_OUTPUT: dict[str, Json] = {
    "hidden_state": "output of the block, before the final norm",
    "patch_tokens": "patches by rows, without CLS and register tokens",
    "cls": "CLS token",
    "mean": "mean over patches, in float32",
}


class Trunk(nn.Module):
    """A vision transformer that stops where it is told to, without the final norm.

    DINOv2 (Oquab et al., 2023) adds learned positions to its patches, interpolated to the size of the input. DINOv3
    (Siméoni et al., 2025) turns queries and keys by rotary positions in every block, and has register tokens between
    CLS and the patches.
    """

    def __init__(
        self, embeddings: nn.Module, *, blocks: nn.ModuleList, rotary: nn.Module | None, num_prefix_tokens: int
    ) -> None:
        super().__init__()
        self.embeddings = embeddings
        self.blocks = blocks
        self.rotary = rotary
        self.num_prefix_tokens = num_prefix_tokens  # CLS and registers, which stand before the patches

    def block_outputs(self, pixels: Float[Tensor, "pictures 3 height width"]) -> Iterator[Tensor]:
        """Tokens after each block in turn, (pictures, prefix + patches, dim); a block runs when it is asked for."""
        tokens = self.embeddings(pixels)
        positions = {} if self.rotary is None else {"position_embeddings": self.rotary(pixels)}
        for block in self.blocks:
            tokens = block(tokens, **positions)
            yield tokens


def dinov2_trunk(model: Dinov2Model) -> Trunk:
    """The trunk of DINOv2."""
    return Trunk(model.embeddings, blocks=model.encoder.layer, rotary=None, num_prefix_tokens=1)


def dinov3_trunk(model: DINOv3ViTModel) -> Trunk:
    """The trunk of DINOv3."""
    return Trunk(
        model.embeddings,
        blocks=model.model.layer,
        rotary=model.rope_embeddings,
        num_prefix_tokens=1 + model.config.num_register_tokens,
    )


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

    def shapes(self, block: int) -> Mapping[str, tuple[int, ...]]:
        """Shapes of a block's arrays, without the axis of pictures: the same for every block."""
        return {"patch_tokens": (self.num_patches, self.dim), "mean": (self.dim,), "cls": (self.dim,)}

    def load(self) -> None:
        self._trunk.get()

    def __call__(
        self, batch: UInt8[Tensor, "pictures 3 size size"], *, blocks: Sequence[int] | None = None
    ) -> dict[int, dict[str, Tensor]]:
        """Features by block, for `blocks` or for all of the backbone's own; the deepest of them is the last to run.

        `patch_tokens` (pictures, patches, dim), by rows from the top left, without CLS and register tokens; `cls`
        (pictures, dim); both in the backbone's arithmetic. `mean` (pictures, dim), over patches, in float32.
        """
        return self._encode(
            self._trunk.get(), self._trunk.placement.move(batch), blocks=chosen_among(self.blocks, blocks)
        )

    def flops(self, *, blocks: Sequence[int] | None = None) -> int:
        """What one picture costs, for `blocks` or for all of the backbone's own; takes no weights."""
        side = self._pixels.size
        picture = torch.empty((1, 3, side, side), dtype=torch.uint8, device="meta")
        return count_flops(self._encode, self._trunk.outline(), picture, blocks=chosen_among(self.blocks, blocks))

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


def load_vision_transformer(
    checkpoint: Checkpoint, *, key: str, blocks: tuple[int | str, ...] | None, size: int | None, models: Models
) -> VisionTransformer:
    """The DINOv2 or DINOv3 in `checkpoint` up to the deepest of `blocks` (None: its last), for pictures of `size`
    pixels (None: its own).

    Raises BackboneError where it has no such block or its patches do not fit the size; `key` is for messages.
    """
    config = _load_config(checkpoint)
    chosen = checked_blocks(blocks, num_blocks=config.num_hidden_layers, model=checkpoint.model, key=key)
    config.num_hidden_layers = max(chosen)  # deeper ones are not even loaded
    pixels = read_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, size=size, default_size=PUBLISHED_IMAGE_SIZE
    )
    check_divides(pixels.size, patch=patch_side(config.patch_size), model=checkpoint.model)
    trunk = _load_trunk(checkpoint, config=config, models=models)
    spec = trunk.describe(preprocessing=pixels.to_manifest(), output=_OUTPUT)
    return VisionTransformer(trunk, config=config, blocks=chosen, pixels=pixels, spec=spec)


def _load_config(checkpoint: Checkpoint) -> Dinov2Config | DINOv3ViTConfig:
    if FAMILY_OF_MODEL_TYPE[checkpoint.model_type] == "dinov3":
        return load_config(DINOv3ViTConfig, checkpoint=checkpoint)
    return load_config(Dinov2Config, checkpoint=checkpoint)


def _load_trunk(checkpoint: Checkpoint, *, config: Dinov2Config | DINOv3ViTConfig, models: Models) -> LazyModel[Trunk]:
    if isinstance(config, DINOv3ViTConfig):
        return models.of(DINOv3ViTModel, part=dinov3_trunk, checkpoint=checkpoint, config=config)
    return models.of(Dinov2Model, part=dinov2_trunk, checkpoint=checkpoint, config=config)


def _features(
    tokens: Float[Tensor, "pictures tokens dim"], *, num_prefix_tokens: int
) -> dict[str, Float[Tensor, "pictures *patches dim"]]:
    patches = tokens[:, num_prefix_tokens:]
    return {"patch_tokens": patches, "cls": tokens[:, 0], "mean": patches.mean(dim=1, dtype=torch.float32)}
