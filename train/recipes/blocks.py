"""What detectors have in common that look at the places of one block of a network, or of several beside it.

Maps of photographs of several blocks are brought to the grid of the first. Any other array that has vectors by place,
such as tokens of sound or steps of a film, stands alone.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import replace
from math import isqrt
from typing import Literal, Self

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...errors import SettingsError
from ..settings import NamedArray, of_last_block
from ..types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes
from .places import PlaceSettings, require_places, scored_places
from .vectors import VectorRecipe


class BlockSettings(PlaceSettings):
    """Which blocks are looked at, and what of each place."""

    beside: tuple[NamedArray, ...] = Field(
        (),
        description="Patch tokens of further blocks of the same photographs, which are resized to the grid of "
        "recipe.array.",
    )
    neighbourhood: Literal[1, 3, 5] = Field(
        1,
        description="Places in a row over which vectors are averaged before anything else: 3 takes those around a "
        "patch in, 3 x 3 of them, or the steps before and after.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With the deepest blocks that the store holds."""
        beside = tuple(of_last_block(array, arrays) for array in self.beside)
        return super().for_store(arrays).model_copy(update={"beside": beside})


class BlockDetector(VectorRecipe, ABC):
    """Distances of places from what they are in normal samples; subclasses say which.

    A module gives each vector a distance, of all blocks joined; a subclass whose module looks at places otherwise has
    an `encode` of its own.
    """

    pooled = False

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__(settings)
        self._places = settings

    def needs(self) -> Needs:
        """The arrays, and what says of the first what is padding: the others are of the same photographs."""
        needs = super().needs()
        named = [array.rpartition("/") for array in self._places.beside]
        beside = [FeatureRequest(feature_set, array, compared=True) for feature_set, _, array in named]
        modalities = {
            name: (*sets, *dict.fromkeys(request.feature_set for request in beside))
            for name, sets in needs.modalities.items()
        }
        return replace(needs, features=(*needs.features, *beside), modalities=modalities)

    def build(self, shapes: Shapes) -> nn.Module:
        require_places(self.array, shapes, instead="the recipe nearest")
        for array in self._places.beside:
            self._require_maps_of_the_same_pictures(array, shapes)
        widths = [self.width(shapes), *(shapes[array][-1] for array in self._places.beside)]
        return self.network(widths, shapes=shapes)

    @abstractmethod
    def network(self, widths: Sequence[int], *, shapes: Shapes) -> nn.Module:
        """What gives places distances, of blocks so wide; nothing is fitted yet."""

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

    def blocks(self, batch: Batch) -> tuple[list[Float[Tensor, "batch *axes _"]], Bool[Tensor, " batch *axes"]]:
        """Each block's vectors by the first one's places, averaged over the neighbourhood, and which are no padding."""
        first, real = super().vectors(batch)
        size = self._places.neighbourhood
        if self._views.name not in batch.features or first.ndim < 4:
            return [averaged_steps(first, real, size=size)], real
        maps = [first, *(batch.features[array] for array in self._places.beside)]
        side = isqrt(first.shape[2])
        if len(maps) > 1 or (size > 1 and side**2 == first.shape[2]):
            return [resized(averaged_patches(each, size=size), side=side) for each in maps], real
        return [averaged_steps(first, real, size=size)], real

    def vectors(self, batch: Batch) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """The vectors of each place, those of all blocks one after another, and which places are real."""
        blocks, real = self.blocks(batch)
        return (torch.cat(blocks, dim=-1) if len(blocks) > 1 else blocks[0]), real

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The distances, and which are of places that there are; nothing is drawn."""
        vectors, real = self.vectors(batch)
        distances = torch.full(real.shape, torch.nan, device=real.device)
        distances[real] = model(vectors[real])
        return {"distance": distances, "real": real}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        return scored_places(encodings["distance"], encodings["real"], settings=self._places)


def resized(
    maps: Float[Tensor, "batch views places dim"], *, side: int
) -> Float[Tensor, "batch views {side}*{side} dim"]:
    """Square maps with `side` places a row, as a picture is resized: between places on the way up, and over all that a
    place covers on the way down."""
    if isqrt(maps.shape[2]) == side:
        return maps.float()
    pictures = nn.functional.interpolate(_pictures(maps), (side, side), mode="bilinear", antialias=True)
    return _maps(pictures, num_views=maps.shape[1])


def averaged_patches(
    maps: Float[Tensor, "batch views places dim"], *, size: int
) -> Float[Tensor, "batch views places dim"]:
    """Of each place of a square map the mean over `size` x `size` places around it, of those within the picture."""
    if size == 1:
        return maps
    pictures = nn.functional.avg_pool2d(_pictures(maps), size, 1, size // 2, count_include_pad=False)
    return _maps(pictures, num_views=maps.shape[1])


def averaged_steps(
    values: Float[Tensor, "batch *axes places dim"], real: Bool[Tensor, "batch *axes places"], *, size: int
) -> Float[Tensor, "batch *axes places dim"]:
    """Of each step the mean over `size` steps around it, of those that are real."""
    if size == 1:
        return values
    rows = torch.where(real.unsqueeze(-1), values.float(), 0.0).flatten(0, -3).transpose(1, 2)
    shares = nn.functional.avg_pool1d(real.float().flatten(0, -2).unsqueeze(1), size, 1, size // 2)
    means = nn.functional.avg_pool1d(rows, size, 1, size // 2) / shares
    return means.transpose(1, 2).reshape(values.shape)


def _pictures(maps: Float[Tensor, "batch views places dim"]) -> Float[Tensor, "pictures dim side side"]:
    return rearrange(
        maps.float(), "batch view (row column) dim -> (batch view) dim row column", row=isqrt(maps.shape[2])
    )


def _maps(
    pictures: Float[Tensor, "pictures dim side side"], *, num_views: int
) -> Float[Tensor, "batch views places dim"]:
    return rearrange(pictures, "(batch view) dim row column -> batch view (row column) dim", view=num_views)
