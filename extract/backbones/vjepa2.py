"""V-JEPA 2, the video backbone: one token for each tubelet of a clip, averaged over space.

Assran et al., "V-JEPA 2" (2025). Only the encoder is kept; the predictor that transformers runs by default costs a
third more and is not used.
"""

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn
from transformers import VJEPA2Config, VJEPA2Model

from ...errors import BackboneError
from ..decode.decoded import VideoClip
from .checkpoint import Checkpoint
from .preprocessing import VIDEO_FILES, ClipPreparation, PixelPreprocessing, check_divides, read_pixel_preprocessing
from .pretrained import Placement, describe, freeze, load_config, load_pretrained, patch_side
from .spec import BackboneSpec, Preparation


class VJepa2:
    """V-JEPA 2's frozen encoder: `num_tokens` tokens of `dim` numbers for a clip of `num_frames` frames."""

    def __init__(
        self,
        encoder: nn.Module,
        *,
        config: VJEPA2Config,
        num_frames: int,
        pixels: PixelPreprocessing,
        placement: Placement,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[VideoClip] = ClipPreparation(pixels)
        self.dim: int = config.hidden_size
        self.num_tokens: int = num_frames // config.tubelet_size
        self._encoder = encoder
        self._placement = placement

    @torch.inference_mode()
    def __call__(self, batch: Float[Tensor, "clips time 3 height width"]) -> dict[str, Tensor]:
        """`tokens` (clips, tubelets, dim): after the final norm, mean over each tubelet's patches."""
        patches = self._encoder(self._placement.of(batch)).last_hidden_state
        return {"tokens": reduce(patches, "clips (time space) dim -> clips time dim", "mean", time=self.num_tokens)}


def load_vjepa2(checkpoint: Checkpoint, *, num_frames: int, size: int | None, placement: Placement) -> VJepa2:
    """The encoder in `checkpoint` for clips of `num_frames` frames; raises BackboneError where it cannot take them."""
    config = load_config(VJEPA2Config, checkpoint=checkpoint)
    pixels = read_pixel_preprocessing(checkpoint.folder, files=VIDEO_FILES, size=size, default_size=config.crop_size)
    patch = patch_side(config.patch_size)
    check_divides(pixels.size, patch=patch, model=checkpoint.model)
    if num_frames % config.tubelet_size:
        raise BackboneError(
            f"{checkpoint.model}: joins every {config.tubelet_size} frames to a tubelet, and num_frames = {num_frames} "
            f"is not a multiple of {config.tubelet_size}."
        )
    # The encoder's rotary positions count patches by the configured side, not by the input's: at another size rows
    # and columns would be mixed up without an error.
    config.crop_size = pixels.size
    model = load_pretrained(VJEPA2Model, checkpoint=checkpoint, config=config, may_miss=("predictor.",))
    spec = describe(
        checkpoint,
        family="vjepa2",
        placement=placement,
        preprocessing=pixels.to_manifest(),
        output={
            "hidden_state": "the encoder's last, after the final norm",
            "tokens": f"one for each {config.tubelet_size} frames, mean over space",
        },
    )
    encoder = freeze(model.encoder, placement=placement)
    return VJepa2(encoder, config=config, num_frames=num_frames, pixels=pixels, placement=placement, spec=spec)
