"""DINOv3's vision transformer (Siméoni et al., 2025): rotary positions, CLS and register tokens before the patches."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from transformers import DINOv3ViTConfig, DINOv3ViTModel

from .checkpoint import Checkpoint
from .preprocessing import IMAGE_FILES, PUBLISHED_IMAGE_SIZE, check_divides, read_pixel_preprocessing
from .pretrained import Placement, describe, freeze, load_config, load_pretrained, patch_side
from .vision_transformer import VisionTransformer, check_blocks, describe_output


class DinoV3Trunk(nn.Module):
    """The first `num_blocks` blocks of a DINOv3 model, without the final norm."""

    def __init__(self, model: DINOv3ViTModel, *, num_blocks: int) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        self.rope_embeddings = model.rope_embeddings
        self.blocks = model.model.layer[:num_blocks]
        self.num_prefix_tokens = 1 + model.config.num_register_tokens
        self.patch_side = patch_side(model.config.patch_size)
        self.dim: int = model.config.hidden_size

    def block_outputs(self, pixels: Float[Tensor, "pictures 3 height width"]) -> Iterator[Tensor]:
        """Tokens after each block in turn: (pictures, CLS + registers + patches, dim)."""
        tokens = self.embeddings(pixels)
        positions = self.rope_embeddings(pixels)
        for block in self.blocks:
            tokens = block(tokens, position_embeddings=positions)
            yield tokens


def load_dinov3(
    checkpoint: Checkpoint, *, blocks: tuple[int, ...], size: int | None, placement: Placement
) -> VisionTransformer:
    """The model in `checkpoint`, cut after the deepest of `blocks`; raises BackboneError where it has no such block."""
    config = load_config(DINOv3ViTConfig, checkpoint=checkpoint)
    check_blocks(blocks, num_blocks=config.num_hidden_layers, model=checkpoint.model)
    pixels = read_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, size=size, default_size=PUBLISHED_IMAGE_SIZE
    )
    check_divides(pixels.size, patch=patch_side(config.patch_size), model=checkpoint.model)
    model = load_pretrained(DINOv3ViTModel, checkpoint=checkpoint, config=config)
    trunk = freeze(DinoV3Trunk(model, num_blocks=max(blocks)), placement=placement)
    spec = describe(
        checkpoint,
        family="dinov3",
        placement=placement,
        preprocessing=pixels.to_manifest(),
        output=describe_output(blocks),
    )
    return VisionTransformer(trunk, blocks=blocks, pixels=pixels, placement=placement, spec=spec)
