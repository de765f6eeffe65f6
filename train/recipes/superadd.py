"""A bank for each of several blocks, evenly filled from dense and sparse regions, as SuperADD keeps.

"SuperADD" (arXiv 2605.14808): Euclid's distance from the nearest patch in each block's bank, and the mean over blocks.
A bank is subsampled by inverse density; here it is measured how dense it is among a part of the candidates, of which
there are as many in memory as settings say. One pass.
"""

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...progress import say
from ..nn.coreset import even_sample
from ..nn.nearest_neighbours import NearestNeighbours, Reservoir
from ..types import Batch, Shapes
from .blocks import BlockDetector, BlockSettings
from .places import TopPercent


class SuperAddSettings(BlockSettings):
    """Distance of patches from the nearest normal ones, block by block; the mean over blocks."""

    name: Literal["superadd"] = Field("superadd", description="What is learned, and how it predicts.")
    bank: Positive = Field(20_000, description="Most patches of normal samples that are kept of each block.")
    candidates: Positive = Field(
        50_000, description="Most patches that banks are chosen from, drawn with train.seed; 4 bytes a number."
    )
    top_percent: TopPercent = 0.1


class NeighboursByBlock(nn.Module):
    """The mean over blocks of a vector's distance from the nearest of each block's bank."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.widths = list(widths)
        self.banks = nn.ModuleList(NearestNeighbours(width, num_neighbours=1, metric="l2") for width in widths)

    def parts(self, vectors: Float[Tensor, "vectors width"]) -> Sequence[tuple[NearestNeighbours, Tensor]]:
        """Each block's bank, and the vectors in that block."""
        found = []
        for bank, part in zip(self.banks, torch.split(vectors, self.widths, dim=1), strict=True):
            assert isinstance(bank, NearestNeighbours)
            found.append((bank, part))
        return found

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        return torch.stack([bank(part) for bank, part in self.parts(vectors)]).mean(dim=0)


class SuperAddRecipe(BlockDetector):
    """A bank of normal patches for each block."""

    def __init__(self, settings: SuperAddSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> NeighboursByBlock:
        return NeighboursByBlock(widths)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the banks."""
        assert isinstance(model, NeighboursByBlock)
        settings = self._settings
        width = sum(model.widths)
        kept = Reservoir(width, limit=max(settings.bank, settings.candidates), generator=generator)
        for vectors in self.training_vectors(batches):
            kept.add(vectors)
        size = min(settings.bank, len(kept.vectors))
        for bank, part in model.parts(kept.vectors):
            fewer = len(part) > size
            bank.fill(part[even_sample(part, size=size, generator=generator)] if fewer else part)
        if kept.seen > size:
            say(f"The memory holds {size:,} of {kept.seen:,} patches of each block (inverse density; recipe.bank).")
