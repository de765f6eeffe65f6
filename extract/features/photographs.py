"""Photographs: patch tokens of the chosen blocks and what is pooled of them, for every view; which views there are."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from ...cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from ..backbones.spec import ImageBackbone, Preparation
from ..decode.decoded import Photographs
from ..decode.image import MASK_COLOUR, decode_photographs
from ..sources.source import Sample
from .kind import OPENCV, Features, Prepared, StreamReader, Tools, made_by
from .settings import PhotographsSettings, PicturesSettings

_AXES = ("patch", "dim")


@dataclass(frozen=True)
class PicturesReader(StreamReader):
    """What readers of photographs share: which views are decoded, and what of them is used."""

    settings: PicturesSettings

    def decoded(self, sample: Sample) -> Photographs:
        settings = self.settings
        return decode_photographs(
            self.files(sample),
            num_views=settings.num_views,
            crop=settings.crop,
            masks=settings.masks,
            max_megapixels=settings.max_megapixels,
        )


@dataclass(frozen=True)
class PhotographsReader(PicturesReader):
    """Views as the backbone takes them: {"views": (views, 3, size, size), "present": (views,)}."""

    settings: PhotographsSettings
    preparation: Preparation[Photographs]

    def __call__(self, sample: Sample) -> Prepared:
        photographs = self.decoded(sample)
        tensors = {"views": self.preparation(photographs), "present": torch.from_numpy(photographs.present)}
        return Prepared(tensors, notes=photographs.notes, extents=photographs.extents)


class PhotographsEncoder:
    """A feature set for each block: patch tokens (views, patches, dim), their mean and, where there is one, CLS
    (views, dim).

    Absent views are zeros, and marked.
    """

    def __init__(
        self, name: str, settings: PhotographsSettings, *, backbone: ImageBackbone, dtype: StorageType
    ) -> None:
        self._backbone = backbone
        self.reader = PhotographsReader(settings=settings, preparation=backbone.preparation)
        self._block_of = {f"{name}/block_{block}": block for block in backbone.blocks}
        views, decoding = settings.num_views, describe_pictures(settings)
        present = ArraySpec("views_present", (views,), ("view",), "uint8", distinct=False)
        self.specs = [
            FeatureSetSpec(
                of_block,
                [
                    *(
                        ArraySpec(array, (views, *shape), ("view", *_AXES[-len(shape) :]), dtype)
                        for array, shape in backbone.shapes(block).items()
                    ),
                    present,
                ],
                made_by(backbone.spec, decoding=decoding, decoders=[OPENCV], block=block),
            )
            for of_block, block in self._block_of.items()
        ]

    def load(self) -> None:
        self._backbone.load()

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """All views of all samples are one batch."""
        views = torch.stack([item.tensors["views"] for item in prepared])
        encoded = self._backbone(
            rearrange(views, "sample view ... -> (sample view) ..."), blocks=self._blocks(feature_sets)
        )
        present = torch.stack([item.tensors["present"] for item in prepared])
        return {
            name: {array: _by_sample(tokens, present) for array, tokens in encoded[self._block_of[name]].items()}
            | {"views_present": present.to(torch.uint8)}
            for name in feature_sets
        }

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return len(prepared.tensors["views"]) * self._backbone.flops(blocks=self._blocks(feature_sets))

    def _blocks(self, feature_sets: frozenset[str]) -> tuple[int, ...]:
        return tuple(sorted(self._block_of[name] for name in feature_sets))


def make(name: str, settings: PhotographsSettings, tools: Tools) -> PhotographsEncoder:
    backbone = tools.backbones.pictures(
        settings,
        key=f"features.{name}",
        blocks=settings.blocks,
        size=settings.size,
        normalisation=settings.normalisation,
    )
    return PhotographsEncoder(name, settings, backbone=backbone, dtype=tools.dtype)


def describe_pictures(settings: PicturesSettings) -> dict[str, object]:
    """What of the pictures is used, as far as it is set."""
    described: dict[str, object] = {"num_views": settings.num_views}
    if settings.crop is not None:
        described["crop"] = list(settings.crop)
    if settings.masks:
        described |= {"masks": [list(mask) for mask in settings.masks], "mask_colour": list(MASK_COLOUR)}
    return described


def _by_sample(tokens: Tensor, present: Tensor) -> Tensor:
    """Sample axis before views, with zeros where a view was not taken."""
    by_view = rearrange(tokens, "(sample view) ... -> sample view ...", sample=len(present))
    kept = present.to(by_view.device, non_blocking=True).reshape(*present.shape, *[1] * (by_view.ndim - 2))
    return torch.where(kept, by_view, 0)  # not a product, in which a blank picture's infinity would become NaN
