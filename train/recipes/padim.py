"""PaDiM: a Gaussian for each place of a map, and how far patches are from that of theirs.

Defard et al., "PaDiM: a Patch Distribution Modeling Framework for Anomaly Detection and Localization" (ICPR 2020): some
numbers of each vector, drawn at random, of all blocks joined. For samples that show the same thing at the same place,
as aligned pictures and recordings of one length do. One pass; memory holds a matrix a place in double precision.
"""

from collections.abc import Iterable, Sequence
from math import prod
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...errors import TrainingError
from ...progress import say
from ..nn.place_gaussians import PlaceGaussians, PlaceStatistics
from ..types import Batch, Encodings, Shapes
from .blocks import BlockDetector, BlockSettings
from .places import TopPercent


class PadimSettings(BlockSettings):
    """Mahalanobis distance of each patch from those of normal samples at its place."""

    name: Literal["padim"] = Field("padim", description="What is learned, and how it predicts.")
    dims: Annotated[int, Field(gt=0, le=1024)] = Field(
        100, description="Numbers of a vector that are looked at, drawn with train.seed; memory grows as their square."
    )
    regularisation: Annotated[float, Field(gt=0)] = Field(
        0.01, description="What is added to the variance of every number, as a share of the mean variance."
    )
    places: Literal["by_view", "shared"] = Field(
        "by_view",
        description="Of samples with several pictures: by_view: each picture has places of its own, as those of "
        "cameras that stand still; shared: all pictures have the same.",
    )
    top_percent: TopPercent = 1e-3


class PadimRecipe(BlockDetector):
    """Means and covariances of normal patches by place."""

    def __init__(self, settings: PadimSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> PlaceGaussians:
        axes = shapes[self.array][:-1]
        places = axes[-1] if self._settings.places == "shared" else prod(axes)
        return PlaceGaussians(sum(widths), places=places, dims=self._settings.dims)

    def _maps(
        self, model: PlaceGaussians, batch: Batch
    ) -> tuple[Float[Tensor, "maps places width"], Bool[Tensor, "maps places"]]:
        """Rows, or pictures where they share places, as maps of the model's places."""
        vectors, real = self.vectors(batch)
        places = len(model.mean)
        return vectors.reshape(-1, places, vectors.shape[-1]), real.reshape(-1, places)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Draw the numbers to look at, and measure them at every place.

        Raises:
            TrainingError: if a vector is not finite, or all of each place are equal.
        """
        assert isinstance(model, PlaceGaussians)
        dims = len(model.chosen)
        model.choose(torch.randperm(model.width, generator=generator)[:dims].sort().values)
        statistics = PlaceStatistics(len(model.mean), dims)
        for batch in batches:
            maps, real = self._maps(model, batch)
            self.require_finite(maps[real])
            statistics.add(maps[..., model.chosen], real)
        try:
            model.use(statistics, regularisation=self._settings.regularisation)
        except ValueError:
            raise TrainingError(
                "No two normal samples differ at the same place, so there is no spread to measure in; train on more "
                f"samples, or choose another array with --set {self.setting}=..."
            ) from None
        if not model.known.all():
            known, places = int(model.known.sum()), len(model.known)
            say(f"{known:,} of {places:,} places are in two normal samples at least; the others are not looked at.")

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        assert isinstance(model, PlaceGaussians)
        maps, real = self._maps(model, batch)
        real = real & model.known
        shape = batch.features[self.array].shape[:-1]
        return {
            "distance": model(maps).masked_fill(~real, torch.nan).reshape(shape),
            "real": real.reshape(shape),
        }
