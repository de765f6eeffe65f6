"""Nearest neighbours: how far a sample's vectors are from those of normal samples, which are kept as they are.

Nothing is learned by gradient: the training rows are gone through once, and memory holds the bank and no more.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...errors import SettingsError, TrainingError
from ..nn.nearest_neighbours import NearestNeighbours
from ..types import Batch
from .vectors import DetectorSettings, VectorDetector


class NearestSettings(DetectorSettings):
    """Distance from the nearest vectors of normal samples."""

    name: Literal["nearest"] = Field("nearest", description="What is learned, and how it predicts.")
    k: Positive = Field(1, description="Nearest vectors over which the distance is averaged.")
    metric: Literal["cosine", "l2"] = Field("cosine", description="1 - cosine of the angle, or Euclid's distance.")
    bank: Positive = Field(
        100_000,
        description="Most vectors of normal samples that are kept, 4 bytes a number; of more, as many are drawn with "
        "train.seed.",
    )
    density_neighbours: int = Field(
        0,
        ge=0,
        description="Above 0: a distance is in units of the mean distance of that normal vector from so many others, "
        "so that sparse and dense regions of normal samples count alike.",
    )


class NearestRecipe(VectorDetector):
    """A bank of normal vectors."""

    def __init__(self, settings: NearestSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def module(self, width: int) -> NearestNeighbours:
        settings = self._settings
        return NearestNeighbours(
            width, num_neighbours=settings.k, metric=settings.metric, density_neighbours=settings.density_neighbours
        )

    def left_out(self, model: nn.Module) -> Tensor:
        assert isinstance(model, NearestNeighbours)
        if self._settings.density_neighbours:
            raise SettingsError(
                "recipe.density_neighbours has units of distance in which the sample that is left out has a part; take "
                "0, or measure units of scores otherwise."
            )
        if not self.pooled:
            raise SettingsError(
                "recipe.vectors=each keeps vectors, of which nobody says whose they are, so no sample can be scored by "
                "the others; take recipe.vectors=mean, or measure units of scores otherwise."
            )
        if len(model.bank) <= self._settings.k:
            raise SettingsError(
                f"The bank holds {len(model.bank):,} vectors, each of which has fewer others than "
                f"recipe.k = {self._settings.k}; lower it."
            )
        return model.left_out()

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the bank.

        Raises:
            SettingsError: if there are fewer vectors than neighbours are asked for.
            TrainingError: if densities are asked for and all vectors are equal.
        """
        assert isinstance(model, NearestNeighbours)
        settings = self._settings
        width = model.bank.shape[1]
        bank = self.sampled_vectors(batches, width=width, limit=settings.bank, generator=generator)
        if len(bank) < settings.k:
            raise SettingsError(f"The bank holds {len(bank):,} vectors, fewer than recipe.k = {settings.k}; lower it.")
        if len(bank) <= settings.density_neighbours:
            raise SettingsError(
                f"The bank holds {len(bank):,} vectors, each of which has fewer others than "
                f"recipe.density_neighbours = {settings.density_neighbours}; lower it."
            )
        try:
            model.fill(bank)
        except ValueError:
            raise TrainingError(
                f"All {len(bank):,} vectors of the normal samples are equal, so there is no density around them; "
                f"choose another array with --set {self.setting}=..."
            ) from None
