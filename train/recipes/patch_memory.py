"""Patch memory: how far each patch of a picture is from the nearest patch of normal pictures, as PatchCore does.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022). A picture's score is the mean over its
strangest patches. It is for any stored map: patches of photographs, tokens of sound, steps of a film.

The training rows are gone through once; memory holds the candidates and the bank that is chosen of them.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...errors import SettingsError
from ...progress import say
from ..nn.coreset import greedy_coreset
from ..nn.nearest_neighbours import NearestNeighbours, Reservoir
from ..types import Batch, Encodings, Prediction, Shapes
from .vectors import DetectorSettings, NamedArray, VectorDetector


class PatchMemorySettings(DetectorSettings):
    """Distance of patches from the nearest ones of normal samples; the strangest patches of a picture decide."""

    name: Literal["patch_memory"] = Field("patch_memory", description="What is learned, and how it predicts.")
    array: NamedArray = Field(
        "image/block_4/patch_tokens",
        description="Array of the store that has vectors by place, such as image/block_10/patch_tokens or "
        "audio/tokens. Samples without it are neither learned from nor scored.",
    )
    vectors: Literal["each"] = Field("each", description="Each vector is compared; their mean has no place.")
    metric: Literal["cosine", "l2"] = Field("l2", description="1 - cosine of the angle, or Euclid's distance.")
    bank: Positive = Field(10_000, description="Most patches of normal samples that are kept, 4 bytes a number.")
    subset: Literal["random", "coreset"] = Field(
        "random",
        description="random: as many are drawn with train.seed; coreset: chosen one by one, each the furthest from all "
        "those before, so that rare patches are kept too.",
    )
    candidates: Positive = Field(
        50_000, description="Most patches that a coreset is chosen from, drawn with train.seed (subset = coreset only)."
    )
    top_percent: float = Field(
        2.0,
        gt=0,
        le=100,
        description="Part of a picture's patches, the strangest, over which the distance is averaged.",
    )
    views: Literal["max", "mean"] = Field(
        "max", description="Of a sample with several pictures: the strangest counts, or the mean of all."
    )


class PatchMemoryRecipe(VectorDetector):
    """A bank of normal patches."""

    def __init__(self, settings: PatchMemorySettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def module(self, width: int) -> NearestNeighbours:
        return NearestNeighbours(width, num_neighbours=1, metric=self._settings.metric)

    def build(self, shapes: Shapes) -> nn.Module:
        if len(shapes[self.array]) < 2:
            raise SettingsError(
                f"{self.array} is one vector a sample, which has no places; choose another with --set "
                "recipe.array=..., or the recipe nearest."
            )
        return super().build(shapes)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the bank."""
        assert isinstance(model, NearestNeighbours)
        settings = self._settings
        limit = max(settings.bank, settings.candidates) if settings.subset == "coreset" else settings.bank
        kept = Reservoir(model.bank.shape[1], limit=limit, generator=generator)
        for vectors in self.training_vectors(batches):
            kept.add(vectors)
        bank = kept.vectors
        if len(bank) > settings.bank:
            bank = bank[greedy_coreset(model.placed(bank), size=settings.bank, generator=generator)]
        if kept.seen > len(bank):
            say(f"The memory holds {len(bank):,} of {kept.seen:,} patches ({settings.subset}; recipe.bank).")
        model.fill(bank)

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The mean over the strangest patches of each picture; by patch too, NaN where there is padding."""
        distances, real = encodings["distance"], encodings["real"]
        pictures = top_mean(distances, real, percent=self._settings.top_percent)
        there = real.any(dim=-1)
        while pictures.ndim > 1:
            if self._settings.views == "max":
                pictures = pictures.masked_fill(~there, -torch.inf).amax(dim=-1)
            else:
                pictures = pictures.masked_fill(~there, 0.0).sum(dim=-1) / there.sum(dim=-1)
            there = there.any(dim=-1)
        return Prediction(pictures.masked_fill(~there, torch.nan), maps={"distance": distances})


def top_mean(
    values: Float[Tensor, "rows *axes places"], real: Bool[Tensor, "rows *axes places"], *, percent: float
) -> Float[Tensor, " rows *axes"]:
    """Mean of the largest `percent` of the values that are `real` along the last axis, of one at least; NaN of none."""
    ordered = values.masked_fill(~real, -torch.inf).sort(dim=-1, descending=True).values
    wanted = (real.sum(dim=-1, keepdim=True) * percent / 100).ceil().clamp(max=real.shape[-1])
    among = (torch.arange(real.shape[-1], device=real.device) < wanted) & ordered.isfinite()
    return torch.where(among, ordered, 0.0).sum(dim=-1) / among.sum(dim=-1)
