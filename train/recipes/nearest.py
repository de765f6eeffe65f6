"""Nearest neighbours: how far a sample's vectors are from those of normal samples, which are kept as they are.

Nothing is learned by gradient: the training rows are gone through once, and memory holds the bank and no more.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ...configs.section import Positive
from ...errors import SettingsError
from ...progress import say
from ..nn.nearest_neighbours import NearestNeighbours, Reservoir
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


class NearestRecipe(VectorDetector):
    """A bank of normal vectors."""

    def __init__(self, settings: NearestSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def module(self, width: int) -> NearestNeighbours:
        return NearestNeighbours(width, num_neighbours=self._settings.k, metric=self._settings.metric)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Fill the bank.

        Raises:
            SettingsError: if there are fewer vectors than neighbours are asked for.
        """
        assert isinstance(model, NearestNeighbours)
        bank = Reservoir(model.bank.shape[1], limit=self._settings.bank, generator=generator)
        for vectors in self.training_vectors(batches):
            bank.add(vectors)
        if len(bank.vectors) < self._settings.k:
            raise SettingsError(
                f"The bank holds {len(bank.vectors):,} vectors, fewer than recipe.k = {self._settings.k}; lower it."
            )
        if bank.seen > len(bank.vectors):
            say(f"The bank holds {len(bank.vectors):,} of {bank.seen:,} vectors, drawn at random (recipe.bank).")
        model.fill(bank.vectors)
