"""V-JEPA 2, the video backbone: one token for each tubelet of a clip, averaged over space.

Assran et al., "V-JEPA 2" (2025). Only the encoder is kept; the predictor that transformers runs by default costs a
third more and is not used.
"""

import torch
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor
from transformers import VJEPA2Config, VJEPA2Model
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Encoder

from ...documents import Json
from ...errors import BackboneError
from ..decode.decoded import VideoClip
from .checkpoint import Checkpoint
from .preprocessing import VIDEO_FILES, ClipPreparation, PixelPreprocessing, check_divides, read_pixel_preprocessing
from .pretrained import LazyModel, Models, load_config, patch_side
from .spec import BackboneSpec, Preparation, count_flops


class VJepa2:
    """V-JEPA 2's frozen encoder: `num_tokens` tokens of `dim` numbers for a clip of `num_frames` frames."""

    def __init__(
        self,
        encoder: LazyModel[VJEPA2Encoder],
        *,
        config: VJEPA2Config,
        num_frames: int,
        pixels: PixelPreprocessing,
        spec: BackboneSpec,
    ) -> None:
        self.spec = spec
        self.preparation: Preparation[VideoClip] = ClipPreparation(pixels)
        self.dim: int = config.hidden_size
        self.num_tokens: int = num_frames // config.tubelet_size
        self._num_frames = num_frames
        self._encoder = encoder
        self._pixels = pixels

    def load(self) -> None:
        self._encoder.get()

    def __call__(self, batch: UInt8[Tensor, "clips time 3 size size"]) -> dict[str, Tensor]:
        """`tokens` (clips, tubelets, dim), mean over each tubelet's patches, and `embedding` (clips, dim), over all.

        Both are after the final norm, and in float32: means are summed in it whatever the encoder computes in.
        """
        return self._encode(self._encoder.get(), self._encoder.placement.move(batch))

    def flops(self) -> int:
        """What one clip costs; takes no weights."""
        side = self._pixels.size
        clip = torch.empty((1, self._num_frames, 3, side, side), dtype=torch.uint8, device="meta")
        return count_flops(self._encode, self._encoder.outline(), clip)

    @torch.inference_mode()
    def _encode(self, encoder: VJEPA2Encoder, pixels: UInt8[Tensor, "clips time 3 size size"]) -> dict[str, Tensor]:
        clips = self._pixels.normalise(pixels).to(self._encoder.placement.dtype)
        patches: Tensor = encoder(clips).last_hidden_state
        by_tubelet = rearrange(patches, "clips (time space) dim -> clips time space dim", time=self.num_tokens)
        tokens = by_tubelet.mean(dim=2, dtype=torch.float32)
        return {"tokens": tokens, "embedding": tokens.mean(dim=1)}


def load_vjepa2(checkpoint: Checkpoint, *, num_frames: int, size: int | None, models: Models) -> VJepa2:
    """The encoder in `checkpoint` for clips of `num_frames` frames; raises BackboneError where it cannot take them."""
    config = load_config(VJEPA2Config, checkpoint=checkpoint)
    pixels = read_pixel_preprocessing(checkpoint.folder, files=VIDEO_FILES, size=size, default_size=config.crop_size)
    check_divides(pixels.size, patch=patch_side(config.patch_size), model=checkpoint.model)
    if num_frames % config.tubelet_size:
        raise BackboneError(
            f"{checkpoint.model}: joins every {config.tubelet_size} frames to a tubelet, and num_frames = {num_frames} "
            f"is not a multiple of {config.tubelet_size}."
        )
    # The encoder's rotary positions count patches by the configured side, not by the input's: at another size rows
    # and columns would be mixed up without an error.
    config.crop_size = pixels.size
    encoder = models.of(VJEPA2Model, part=_encoder_of, checkpoint=checkpoint, config=config, may_miss=("predictor.",))
    output: dict[str, Json] = {
        "hidden_state": "the encoder's last, after the final norm",
        "tokens": f"one for each {config.tubelet_size} frames, mean over space in float32",
        "embedding": "mean over tokens, in float32",
    }
    spec = encoder.describe(preprocessing=pixels.to_manifest(), output=output)
    return VJepa2(encoder, config=config, num_frames=num_frames, pixels=pixels, spec=spec)


def _encoder_of(model: VJEPA2Model) -> VJEPA2Encoder:
    return model.encoder
