"""Patch memory: how far each patch of a picture is from the nearest patch of normal pictures, as PatchCore does.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022). A picture's score is the mean over its
strangest patches. It is for any stored map: patches of photographs, tokens of sound, steps of a film.

Maps of photographs of several blocks may be looked at as one, as PatchCore looks at two stages of a network: a patch is
then its vector of each of them, in units of that block's spread, with all maps resized to one grid. The recipe
`patchcore` is the same with PatchCore's own settings.

The training rows are gone through once; memory holds the candidates and the bank that is chosen of them.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ...configs.section import Positive
from ...progress import say
from ..nn.coreset import greedy_coreset
from ..nn.nearest_neighbours import NearestNeighbours, NeighboursOfParts, Reservoir
from ..settings import NamedArray
from ..types import Batch, Encodings, Prediction, Shapes
from .blocks import BlockDetector, BlockSettings
from .places import TopPercent, scored_places
from .vectors import DetectorSettings


class MemorySettings(BlockSettings):
    """How a memory of normal patches is filled, and how others are compared with it."""

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
    reweight: int = Field(
        0,
        ge=0,
        description="Above 0: a picture's distance counts less where the nearest normal patch of its strangest one "
        "lies among others, of which so many are looked at: usual patches vary more than rare ones.",
    )


class PatchMemorySettings(MemorySettings, DetectorSettings):
    """Distance of patches from the nearest ones of normal samples; the strangest patches of a picture decide."""

    name: Literal["patch_memory"] = Field("patch_memory", description="What is learned, and how it predicts.")
    array: NamedArray = Field(
        "image/block_4/patch_tokens",
        description="Array of the store that has vectors by place, such as image/block_10/patch_tokens or "
        "audio/tokens. Samples without it are neither learned from nor scored.",
    )
    vectors: Literal["each"] = Field("each", description="Each vector is compared; their mean has no place.")
    top_percent: TopPercent = 2.0


class PatchCoreSettings(MemorySettings):
    """The patch memory with the settings of PatchCore: a coreset, patches averaged with those around them, the
    strangest patch of a picture, counted by how usual its neighbours are."""

    name: Literal["patchcore"] = Field("patchcore", description="What is learned, and how it predicts.")
    neighbourhood: Literal[1, 3, 5] = Field(
        3, description="Places in a row over which vectors are averaged before anything else, or steps."
    )
    subset: Literal["random", "coreset"] = Field(
        "coreset",
        description="coreset: patches are chosen one by one, each the furthest from all those before; random: they are "
        "drawn with train.seed.",
    )
    reweight: int = Field(
        9,
        ge=0,
        description="Neighbours of the nearest normal patch by which a picture's distance is counted; 0: it is not.",
    )
    top_percent: TopPercent = 1e-3


class PatchMemoryRecipe(BlockDetector):
    """A bank of normal patches."""

    def __init__(self, settings: PatchMemorySettings | PatchCoreSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> NearestNeighbours:
        if len(widths) > 1:
            return NeighboursOfParts(widths, metric=self._settings.metric)
        return NearestNeighbours(widths[0], num_neighbours=1, metric=self._settings.metric)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the bank."""
        assert isinstance(model, NearestNeighbours)
        settings = self._settings
        limit = max(settings.bank, settings.candidates) if settings.subset == "coreset" else settings.bank
        kept = Reservoir(model.bank.shape[1], limit=limit, generator=generator)
        for vectors in self.training_vectors(batches):
            kept.add(vectors)
        bank = kept.vectors
        if isinstance(model, NeighboursOfParts):
            model.measure(bank)
        if len(bank) > settings.bank:
            bank = bank[
                greedy_coreset(model.placed(bank.to(model.centre.device)), size=settings.bank, generator=generator)
            ]
        if kept.seen > len(bank):
            say(f"The memory holds {len(bank):,} of {kept.seen:,} patches ({settings.subset}; recipe.bank).")
        model.fill(bank)

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """With the weight of each picture, where pictures are weighted; nothing is drawn."""
        if not self._settings.reweight:
            return super().encode(model, batch, generator)
        assert isinstance(model, NearestNeighbours)
        vectors, real = self.vectors(batch)
        distances = torch.full(real.shape, torch.nan, device=real.device)
        distances[real] = model(vectors[real])
        strangest = distances.nan_to_num(nan=-1.0).argmax(dim=-1)
        places = strangest[..., None, None].expand(*strangest.shape, 1, vectors.shape[-1])
        weights, there = torch.ones(strangest.shape, device=real.device), real.any(dim=-1)
        weights[there] = model.weights(vectors.gather(-2, places).squeeze(-2)[there], num=self._settings.reweight)
        return {"distance": distances, "real": real, "weight": weights}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        settings, weights = self._settings, encodings.get("weight")
        return scored_places(encodings["distance"], encodings["real"], settings=settings, weights=weights)
