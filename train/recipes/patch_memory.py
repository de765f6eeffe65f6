"""Patch memory: how far each patch of a picture is from the nearest patch of normal pictures, as PatchCore does.

Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022). A picture's score is the mean over its
strangest patches. It is for any stored map: patches of photographs, tokens of sound, steps of a film.

Maps of photographs of several blocks may be looked at as one, as PatchCore looks at two stages of a network: a patch is
then its vector of each of them, in units of that block's spread, with all maps resized to one grid.

The training rows are gone through once; memory holds the candidates and the bank that is chosen of them.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from math import isqrt
from typing import Literal, Self

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...errors import SettingsError
from ...progress import say
from ..nn.coreset import greedy_coreset
from ..nn.nearest_neighbours import NearestNeighbours, NeighboursOfParts, Reservoir
from ..settings import NamedArray, of_last_block
from ..types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes
from .places import PlaceSettings, require_places, scored_places
from .vectors import DetectorSettings, VectorDetector


class PatchMemorySettings(PlaceSettings, DetectorSettings):
    """Distance of patches from the nearest ones of normal samples; the strangest patches of a picture decide."""

    name: Literal["patch_memory"] = Field("patch_memory", description="What is learned, and how it predicts.")
    array: NamedArray = Field(
        "image/block_4/patch_tokens",
        description="Array of the store that has vectors by place, such as image/block_10/patch_tokens or "
        "audio/tokens. Samples without it are neither learned from nor scored.",
    )
    beside: tuple[NamedArray, ...] = Field(
        (),
        description="Patch tokens of further blocks of the same photographs: resized to the grid of recipe.array, they "
        "are compared as one vector with it.",
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
        description="Part of a picture's patches, the strangest, over which the distance is averaged; one at least.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        beside = tuple(of_last_block(array, arrays) for array in self.beside)
        return super().for_store(arrays).model_copy(update={"beside": beside})


class PatchMemoryRecipe(VectorDetector):
    """A bank of normal patches."""

    def __init__(self, settings: PatchMemorySettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def needs(self) -> Needs:
        """The arrays, and what says of the first what is padding: the others are of the same photographs."""
        needs = super().needs()
        named = [array.rpartition("/") for array in self._settings.beside]
        beside = [FeatureRequest(feature_set, array, compared=True) for feature_set, _, array in named]
        modalities = {
            name: (*sets, *dict.fromkeys(request.feature_set for request in beside))
            for name, sets in needs.modalities.items()
        }
        return replace(needs, features=(*needs.features, *beside), modalities=modalities)

    def module(self, width: int) -> NearestNeighbours:
        return NearestNeighbours(width, num_neighbours=1, metric=self._settings.metric)

    def build(self, shapes: Shapes) -> nn.Module:
        require_places(self.array, shapes, instead="the recipe nearest")
        beside = self._settings.beside
        if not beside:
            return super().build(shapes)
        for array in beside:
            self._require_maps_of_the_same_pictures(array, shapes)
        return NeighboursOfParts(
            [self.width(shapes), *(shapes[array][-1] for array in beside)], metric=self._settings.metric
        )

    def _require_maps_of_the_same_pictures(self, array: str, shapes: Shapes) -> None:
        """Only photographs have maps whose places are a grid; a square one, as pictures are made square.

        Raises:
            SettingsError: names the array.
        """
        first, other = shapes[self.array], shapes[array]
        grids = all(len(shape) == 3 and isqrt(shape[1]) ** 2 == shape[1] for shape in (first, other))
        if not grids or self._views.name not in shapes or first[0] != other[0] or array == self.array:
            raise SettingsError(
                f"{array} cannot stand beside {self.array}: recipe.beside names patch tokens of other blocks of the "
                "same photographs, such as image/block_5/patch_tokens beside image/block_3/patch_tokens."
            )

    def vectors(self, batch: Batch) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """With those of the other blocks behind them, where there are some."""
        values, real = super().vectors(batch)
        if not self._settings.beside:
            return values, real
        side = isqrt(values.shape[2])
        others = [resized(batch.features[array], side=side) for array in self._settings.beside]
        return torch.cat([values.float(), *others], dim=-1), real

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

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return scored_places(encodings["distance"], encodings["real"], settings=self._settings)


def resized(
    maps: Float[Tensor, "batch views places dim"], *, side: int
) -> Float[Tensor, "batch views {side}*{side} dim"]:
    """Square maps with `side` places a row, as a picture is resized: between places on the way up, and over all that a
    place covers on the way down."""
    num_views, before = maps.shape[1], isqrt(maps.shape[2])
    pictures = rearrange(maps.float(), "batch view (row column) dim -> (batch view) dim row column", row=before)
    if before != side:
        pictures = nn.functional.interpolate(pictures, (side, side), mode="bilinear", antialias=True)
    return rearrange(pictures, "(batch view) dim row column -> batch view (row column) dim", view=num_views)
