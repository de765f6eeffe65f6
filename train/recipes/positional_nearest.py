"""Nearest normal patches of about the same place, in the normal pictures that are most alike, as RAD finds them.

"Is Training Necessary for Anomaly Detection?" (arXiv 2601.22763): normal pictures are found by the CLS token of the
last block, patches are compared within one place around theirs, block by block. One pass; memory holds the pictures of
the bank, all blocks of all their places.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import isqrt
from typing import Annotated, Literal, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Like, Positive
from ...progress import say
from ..nn.nearest_neighbours import Reservoir
from ..nn.positional import PositionalNeighbours
from ..settings import AUTO
from ..types import Batch, Encodings, FeatureRequest, Needs, Shapes
from .blocks import BlockDetector, BlockSettings

_MEAN = "mean"


class PositionalNearestSettings(BlockSettings):
    """1 - cosine of each patch with the nearest normal one around its place, in alike pictures; the blocks' mean."""

    name: Literal["positional_nearest"] = Field(
        "positional_nearest", description="What is learned, and how it predicts."
    )
    whole: Annotated[
        str, Like(rf"{AUTO}|{_MEAN}|[a-z0-9_]+(/[a-z0-9_]+)+", "auto, mean, or an array such as image/block_11/cls")
    ] = Field(
        AUTO,
        description="Array with a vector for each picture, by which alike normal pictures are found; mean: the mean "
        "over the last block's patches; auto: the cls of the last block where the store holds it, or else the mean.",
    )
    pictures: Positive = Field(150, description="Normal pictures, the most alike, whose patches are compared.")
    radius: Annotated[int, Field(ge=0, le=8)] = Field(
        1, description="Places to each side of a patch's own among which its nearest is looked for."
    )
    bank: Positive = Field(
        300,
        description="Most normal pictures that are kept, 4 bytes a number of all their patches; of more, as many are "
        "drawn with train.seed.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With what alike pictures are found by."""
        chosen = super().for_store(arrays)
        if chosen.whole != AUTO:
            return chosen
        last = [chosen.array, *chosen.beside][-1].rpartition("/")[0]
        return chosen.model_copy(update={"whole": f"{last}/cls" if f"{last}/cls" in arrays else _MEAN})


@dataclass(frozen=True, eq=False)
class _Pictures:
    """Pictures of several rows, one after the other; padding is 0."""

    blocks: list[Float[Tensor, "pictures places _"]]
    whole: Float[Tensor, "pictures whole_width"]
    real: Bool[Tensor, "pictures places"]


class PositionalNearestRecipe(BlockDetector):
    """A bank of normal pictures, place by place."""

    def __init__(self, settings: PositionalNearestSettings) -> None:
        super().__init__(settings)
        self._settings = settings
        feature_set, _, array = settings.whole.rpartition("/")
        self._whole = FeatureRequest(feature_set, array, compared=True) if feature_set else None

    def needs(self) -> Needs:
        needs = super().needs()
        if self._whole is None:
            return needs
        modalities = {
            name: tuple(dict.fromkeys([*sets, self._whole.feature_set])) for name, sets in needs.modalities.items()
        }
        return replace(needs, features=(*needs.features, self._whole), modalities=modalities)

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> PositionalNeighbours:
        places = shapes[self.array][-2]
        side = isqrt(places)
        is_grid = self._views.name in shapes and side**2 == places
        return PositionalNeighbours(
            widths,
            whole_width=widths[-1] if self._whole is None else shapes[self._whole.name][-1],
            grid=(side, side) if is_grid else (1, places),
            radius=self._settings.radius,
            alike=self._settings.pictures,
        )

    def _pictures(self, batch: Batch) -> _Pictures:
        """All pictures of a batch, those that are not there too."""
        blocks, real = self.blocks(batch)
        real = real.flatten(0, -2)
        kept = real.unsqueeze(-1)
        maps = [torch.where(kept, block.flatten(0, -3).float(), 0.0) for block in blocks]
        if self._whole is None:
            return _Pictures(maps, maps[-1].sum(dim=1) / kept.sum(dim=1).clamp(min=1), real)
        return _Pictures(maps, batch.features[self._whole.name].flatten(0, -2).float(), real)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Keep the pictures.

        Raises:
            TrainingError: if a vector is not finite.
        """
        assert isinstance(model, PositionalNeighbours)
        widths, places = [bank.shape[2] for bank in model.banks], len(model.banks[0])
        width = model.whole.shape[1] + places * sum(widths)
        kept = Reservoir(width, limit=self._settings.bank, generator=generator)
        for batch in batches:
            pictures = self._pictures(batch)
            there = pictures.real.any(dim=1)
            joined = torch.cat([pictures.whole, *(block.flatten(1) for block in pictures.blocks)], dim=1)[there]
            self.require_finite(joined)
            kept.add(joined)
        whole, *blocks = torch.split(kept.vectors, [model.whole.shape[1], *(places * width for width in widths)], dim=1)
        model.fill([block.reshape(len(block), places, -1) for block in blocks], whole)
        if kept.seen > len(kept.vectors):
            say(f"The bank holds {len(kept.vectors):,} of {kept.seen:,} pictures, drawn at random (recipe.bank).")

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        pictures = self._pictures(batch)
        there = pictures.real.any(dim=1)
        distances = torch.full(pictures.real.shape, torch.nan, device=there.device)
        distances[there] = model([block[there] for block in pictures.blocks], pictures.whole[there])
        shape = batch.features[self.array].shape[:-1]
        return {
            "distance": distances.masked_fill(~pictures.real, torch.nan).reshape(shape),
            "real": pictures.real.reshape(shape),
        }
