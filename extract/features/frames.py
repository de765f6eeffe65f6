"""Video as frames: pictures spread evenly over the film, each through an image backbone and averaged over its patches.

What the video autoencoder is trained on. Photographs of the finished thing have no part in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange

from ...cache.arrays import ACTIVE, ArraySpec, FeatureSetSpec, StorageType
from ..backbones.spec import ImageBackbone, Preparation
from ..decode.decoded import Photographs
from ..decode.video import decode_video
from ..sources.source import Sample
from .kind import OPENCV, Features, Prepared, StreamReader, Tools, active_array, made_by
from .settings import FramesSettings


@dataclass(frozen=True)
class FramesReader(StreamReader):
    """Frames as the backbone takes pictures: {"frames": (time, 3, size, size), ACTIVE: (2,)}."""

    settings: FramesSettings
    preparation: Preparation[Photographs]

    def __call__(self, sample: Sample) -> Prepared:
        (film,) = self.files(sample)
        clip = decode_video(film, num_frames=self.settings.num_frames, limits=self.settings)
        pictures = Photographs(tuple(clip.frames))  # to an image backbone a frame is a picture like any other
        tensors = {"frames": self.preparation(pictures), ACTIVE: torch.from_numpy(clip.active)}
        return Prepared(tensors, notes=clip.notes, extents=clip.extents)


class FramesEncoder:
    """Embeddings (time, dim): the mean over the patches of each frame, without CLS and register tokens."""

    def __init__(self, name: str, settings: FramesSettings, *, backbone: ImageBackbone, dtype: StorageType) -> None:
        self._backbone = backbone
        (self._block,) = backbone.blocks
        self.reader = FramesReader(settings=settings, preparation=backbone.preparation)
        arrays = [
            ArraySpec(
                "embedding", (settings.num_frames, *backbone.shapes(self._block)["mean"]), ("time", "dim"), dtype
            ),
            active_array(),
        ]
        described = made_by(
            backbone.spec,
            decoding={"num_frames": settings.num_frames, "sampling": "uniform"},
            decoders=[OPENCV],
            block=self._block,
        )
        self.specs = [FeatureSetSpec(name, arrays, described)]

    def load(self) -> None:
        self._backbone.load()

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """All frames of all samples are one batch."""
        frames = torch.stack([item.tensors["frames"] for item in prepared])
        encoded = self._backbone(rearrange(frames, "sample time ... -> (sample time) ..."))[self._block]
        made = {
            "embedding": rearrange(encoded["mean"], "(sample time) dim -> sample time dim", sample=len(prepared)),
            ACTIVE: torch.stack([item.tensors[ACTIVE] for item in prepared]),
        }
        return dict.fromkeys(feature_sets, made)

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return len(prepared.tensors["frames"]) * self._backbone.flops()


def make(name: str, settings: FramesSettings, tools: Tools) -> FramesEncoder:
    blocks = None if settings.block is None else (settings.block,)
    backbone = tools.backbones.pictures(
        settings,
        key=f"features.{name}",
        blocks=blocks,
        size=settings.size,
        normalisation=settings.normalisation,
    )
    return FramesEncoder(name, settings, backbone=backbone, dtype=tools.dtype)
