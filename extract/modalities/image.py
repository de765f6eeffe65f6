"""Photographs: patch and CLS tokens of the chosen blocks, for every view, and which views there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange

from ...cache.arrays import ArraySpec, ModalitySpec
from ...configs.schema import CacheSettings, ImageSettings
from ..backbones.spec import ImageBackbone, Preparation
from ..decode.decoded import Photographs
from ..decode.image import decode_photographs
from ..sample import Sample
from .made_by import made_by
from .modality import Features, Prepared


@dataclass(frozen=True)
class ImageReader:
    """Views as the backbone takes them: {"views": (views, 3, size, size), "present": (views,)}."""

    settings: ImageSettings
    preparation: Preparation[Photographs]

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample."""
        photographs = decode_photographs(sample.files["image"], num_views=self.settings.num_views)
        tensors = {"views": self.preparation(photographs), "present": torch.from_numpy(photographs.present)}
        return Prepared(tensors, notes=photographs.problems)


class ImageEncoder:
    """Patch tokens (blocks, views, patches, dim) and CLS (blocks, views, dim); absent views are zeros, and marked."""

    def __init__(self, backbone: ImageBackbone, *, settings: ImageSettings, cache: CacheSettings) -> None:
        self._backbone = backbone
        self.reader = ImageReader(settings=settings, preparation=backbone.preparation)
        blocks, views = len(settings.blocks), settings.num_views
        chosen = {"blocks": list(settings.blocks)}
        arrays = [
            ArraySpec(
                name="patch_tokens",
                shape=(blocks, views, backbone.num_patches, backbone.dim),
                dims=("block", "view", "patch", "dim"),
                dtype=cache.dtype,
                attributes=chosen,
            ),
            ArraySpec("cls", (blocks, views, backbone.dim), ("block", "view", "dim"), cache.dtype, attributes=chosen),
            ArraySpec("views_present", (views,), ("view",), "uint8"),
        ]
        self.spec = ModalitySpec("image", arrays, made_by(backbone.spec, decoding={"num_views": views}))

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        """All views of all samples are one batch."""
        views = torch.stack([item.tensors["views"] for item in prepared])
        encoded = self._backbone(rearrange(views, "sample view ... -> (sample view) ..."))
        regrouped = {
            name: rearrange(
                tokens.float().cpu(), "(sample view) block ... -> sample block view ...", sample=len(prepared)
            )
            for name, tokens in encoded.items()
        }
        present = torch.stack([item.tensors["present"] for item in prepared])
        return [
            {name: (tokens[i] * _broadcast(present[i], tokens[i])).numpy() for name, tokens in regrouped.items()}
            | {"views_present": present[i].numpy().astype("uint8")}
            for i in range(len(prepared))
        ]


def _broadcast(present: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return present.reshape(1, -1, *[1] * (tokens.ndim - 2))
