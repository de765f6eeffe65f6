"""DINOv2's vision transformer (Oquab et al., 2023): learned positions, interpolated to the size of the input."""

from collections.abc import Iterator

from jaxtyping import Float
from torch import Tensor, nn
from transformers import Dinov2Config, Dinov2Model

from .checkpoint import Checkpoint
from .preprocessing import IMAGE_FILES, PUBLISHED_IMAGE_SIZE, check_divides, read_pixel_preprocessing
from .pretrained import Placement, describe, freeze, load_config, load_pretrained, patch_side
from .vision_transformer import VisionTransformer, check_blocks, describe_output


class DinoV2Trunk(nn.Module):
    """The first `num_blocks` blocks of a DINOv2 model, without the final norm."""

    def __init__(self, model: Dinov2Model, *, num_blocks: int) -> None:
        super().__init__()
        self.embeddings = model.embeddings
        self.blocks = model.encoder.layer[:num_blocks]
        self.num_prefix_tokens = 1
        self.patch_side = patch_side(model.config.patch_size)
        self.dim: int = model.config.hidden_size

    def block_outputs(self, pixels: Float[Tensor, "pictures 3 height width"]) -> Iterator[Tensor]:
        """Tokens after each block in turn: (pictures, CLS + patches, dim)."""
        tokens = self.embeddings(pixels)
        for block in self.blocks:
            tokens = block(tokens)
            yield tokens


def load_dinov2(
    checkpoint: Checkpoint, *, blocks: tuple[int, ...], size: int | None, placement: Placement
) -> VisionTransformer:
    """The model in `checkpoint`, cut after the deepest of `blocks`; raises BackboneError where it has no such block."""
    config = load_config(Dinov2Config, checkpoint=checkpoint)
    check_blocks(blocks, num_blocks=config.num_hidden_layers, model=checkpoint.model)
    pixels = read_pixel_preprocessing(
        checkpoint.folder, files=IMAGE_FILES, size=size, default_size=PUBLISHED_IMAGE_SIZE
    )
    check_divides(pixels.size, patch=patch_side(config.patch_size), model=checkpoint.model)
    model = load_pretrained(Dinov2Model, checkpoint=checkpoint, config=config)
    trunk = freeze(DinoV2Trunk(model, num_blocks=max(blocks)), placement=placement)
    spec = describe(
        checkpoint,
        family="dinov2",
        placement=placement,
        preprocessing=pixels.to_manifest(),
        output=describe_output(blocks),
    )
    return VisionTransformer(trunk, blocks=blocks, pixels=pixels, placement=placement, spec=spec)
