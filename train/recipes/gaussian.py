"""One Gaussian over the vectors of normal samples, with a shrunk covariance, and the Mahalanobis distance from it.

The training rows are gone through once, or twice where each number has its own unit; memory holds two matrices as wide
as the vectors, in double precision.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from jaxtyping import Float64
from pydantic import Field
from torch import Tensor, nn

from ...errors import TrainingError
from ..nn.gaussian import Mahalanobis, ShrunkCovariance
from ..nn.standardise import ChannelStatistics
from ..types import Batch
from .vectors import DetectorSettings, VectorDetector


class GaussianSettings(DetectorSettings):
    """Mahalanobis distance from the normal samples, by the covariance of Ledoit and Wolf."""

    name: Literal["gaussian"] = Field("gaussian", description="What is learned, and how it predicts.")
    standardise: bool = Field(
        False,
        description="Shrink the covariance of the numbers in units of their own spread over the normal samples: for "
        "vectors whose numbers have units of their own, such as statistics of measurements.",
    )


class GaussianRecipe(VectorDetector):
    """Mean and covariance of the normal vectors."""

    def __init__(self, settings: GaussianSettings) -> None:
        super().__init__(settings)
        self._standardise = settings.standardise

    def module(self, width: int) -> Mahalanobis:
        return Mahalanobis(width)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Measure mean and covariance; nothing is drawn.

        Raises:
            TrainingError: if the vectors hardly differ.
        """
        assert isinstance(model, Mahalanobis)
        width = len(model.mean)
        unit = self._spread(batches, width) if self._standardise else None
        statistics = ShrunkCovariance(width)
        for vectors in self.training_vectors(batches):
            statistics.add(vectors if unit is None else vectors / unit.float().to(vectors.device))
        try:
            model.use(statistics, unit=unit)
        except ValueError:
            raise TrainingError(
                f"The {statistics.count:,} vectors of the normal samples do not spread in every direction, so there is "
                f"no distance from them; train on more samples, or choose another array with --set {self.setting}=..."
            ) from None

    def _spread(self, batches: Iterable[Batch], width: int) -> Float64[Tensor, " width"]:
        """Standard deviation of each number over the normal vectors."""
        statistics = ChannelStatistics(width)
        for vectors in self.training_vectors(batches):
            statistics.add(vectors)
        return statistics.std
