"""The trunks of DINOv2 (Oquab et al., 2023) and DINOv3 (Siméoni et al., 2025): blocks, without the final norm.

DINOv2 adds learned positions to its patches, interpolated to the size of the input. DINOv3 turns queries and keys by
rotary positions in every block, and has register tokens between CLS and the patches.
"""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from transformers import Dinov2Model, DINOv3ViTModel


class Trunk(nn.Module):
    """A vision transformer that stops where it is told to."""

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
