"""Video: frames of the clip, or of its arc-on window, to tubelet tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...cache.arrays import ArraySpec, ModalitySpec
from ...configs.schema import CacheSettings, VideoSettings
from ...errors import DecodeError
from ..backbones.spec import Preparation, VideoBackbone
from ..decode.decoded import VideoClip
from ..decode.sensor import arc_on_window
from ..decode.video import decode_video
from ..sample import Sample
from .made_by import made_by
from .modality import Features, Prepared


@dataclass(frozen=True)
class VideoReader:
    """Sampled frames as the backbone takes them: {"frames": (time, 3, size, size)}."""

    settings: VideoSettings
    preparation: Preparation[VideoClip]

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample."""
        window = self._arc_on(sample) if self.settings.window == "arc_on" else None
        clip = decode_video(sample.files["video"][0], num_frames=self.settings.num_frames, window=window)
        return Prepared({"frames": self.preparation(clip)}, notes=clip.problems)

    def _arc_on(self, sample: Sample) -> tuple[float, float]:
        if "sensor" not in sample.files:
            raise DecodeError(f"{sample.key}: video.window is arc_on and there are no sensors to tell when that is.")
        return arc_on_window(sample.files["sensor"][0])


class VideoEncoder:
    """Tokens (time, dim): mean over space of each tubelet."""

    def __init__(self, backbone: VideoBackbone, *, settings: VideoSettings, cache: CacheSettings) -> None:
        self._backbone = backbone
        self.reader = VideoReader(settings=settings, preparation=backbone.preparation)
        tokens = ArraySpec(
            name="tokens", shape=(backbone.num_tokens, backbone.dim), dims=("time", "dim"), dtype=cache.dtype
        )
        sampling = {"num_frames": settings.num_frames, "window": settings.window}
        self.spec = ModalitySpec("video", [tokens], made_by(backbone.spec, decoding=sampling))

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        """One clip a sample."""
        clips: Tensor = torch.stack([item.tensors["frames"] for item in prepared])
        return [{"tokens": tokens.numpy()} for tokens in self._backbone(clips)["tokens"].float().cpu()]
