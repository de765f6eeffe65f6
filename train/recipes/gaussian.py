"""One Gaussian over the vectors of normal samples, with a shrunk covariance, and the Mahalanobis distance from it.

The training rows are gone through once; memory holds two matrices as wide as the vectors, in double precision.
"""

from collections.abc import Iterable
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from ...errors import TrainingError
from ..nn.gaussian import Mahalanobis, ShrunkCovariance
from ..types import Batch
from .vectors import DetectorSettings, VectorDetector


class GaussianSettings(DetectorSettings):
    """Mahalanobis distance from the normal samples, by the covariance of Ledoit and Wolf."""

    name: Literal["gaussian"] = Field("gaussian", description="What is learned, and how it predicts.")


class GaussianRecipe(VectorDetector):
    """Mean and covariance of the normal vectors."""

    def module(self, width: int) -> Mahalanobis:
        return Mahalanobis(width)

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Measure mean and covariance; nothing is drawn.

        Raises:
            TrainingError: if the vectors hardly differ.
        """
        assert isinstance(model, Mahalanobis)
        statistics = ShrunkCovariance(len(model.mean))
        for vectors in self.training_vectors(batches):
            statistics.add(vectors)
        try:
            model.use(statistics)
        except ValueError:
            raise TrainingError(
                f"The {statistics.count:,} vectors of the normal samples do not spread in every direction, so there is "
                "no distance from them; train on more samples, or choose another array with --set recipe.array=..."
            ) from None
