"""Photographs through a vision transformer: patch and CLS tokens of chosen blocks, and nothing run beyond them.

What DINOv2 and DINOv3 share. Block k means the output of the k-th block, counted from 1, before the final norm: what
transformers calls `hidden_states[k]`, index 0 being the embedding.
"""

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ...cache.provenance import Json
from ...errors import BackboneError
from ..decode.decoded import Photographs
from .preprocessing import PhotographPreparation, PixelPreprocessing
from .pretrained import Placement
from .spec import BackboneSpec, Preparation


@runtime_checkable
class Trunk(Protocol):
    """A vision transformer without its head, cut after the deepest block that is needed."""

    num_prefix_tokens: int  # CLS and registers, which stand before the patches
    patch_side: int  # pixels
    dim: int

    def block_outputs(self, pixels: Float[Tensor, "pictures 3 height width"]) -> Iterator[Tensor]:
        """Tokens after each block in turn: (pictures, prefix + patches, dim)."""
        ...


class VisionTransformer:
    """A frozen vision transformer: `num_patches` tokens of `dim` numbers for each picture and each of `blocks`."""

    def __init__(
        self,
        trunk: Trunk,
        *,
        blocks: tuple[int, ...],
        pixels: PixelPreprocessing,
        placement: Placement,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[Photographs] = PhotographPreparation(pixels)
        self.blocks = blocks
        self.dim = trunk.dim
        self.num_patches = (pixels.size // trunk.patch_side) ** 2
        self._trunk = trunk
        self._placement = placement

    @torch.inference_mode()
    def __call__(self, batch: Float[Tensor, "pictures 3 height width"]) -> dict[str, Tensor]:
        """`patch_tokens` (pictures, blocks, patches, dim) and `cls` (pictures, blocks, dim), before the final norm.

        Patches run by rows from the top left; CLS and register tokens are not among them.
        """
        outputs = enumerate(self._trunk.block_outputs(self._placement.of(batch)), start=1)
        chosen = [tokens for number, tokens in outputs if number in self.blocks]
        patches = [tokens[:, self._trunk.num_prefix_tokens :] for tokens in chosen]
        return {"patch_tokens": torch.stack(patches, dim=1), "cls": torch.stack([tokens[:, 0] for tokens in chosen], 1)}


def describe_output(blocks: tuple[int, ...]) -> dict[str, Json]:
    """What a vision transformer's features are, for the manifest."""
    return {
        "hidden_state": "output of each block, before the final norm",
        "blocks": list(blocks),
        "patch_tokens": "patches by rows, without CLS and register tokens",
        "cls": "CLS token",
    }


def check_blocks(blocks: tuple[int, ...], *, num_blocks: int, model: str) -> None:
    """Raise BackboneError unless all `blocks`, counted from 1, are among a model's `num_blocks`."""
    beyond = [block for block in blocks if not 1 <= block <= num_blocks]
    if beyond or not blocks:
        raise BackboneError(
            f"{model}: has {num_blocks} blocks, counted from 1, and image.blocks asks for {list(blocks)}; choose among "
            f"1 to {num_blocks}."
        )
