"""Local outlier factor: how much sparser it is around a sample's vectors than around normal ones beside them."""

from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ...errors import SettingsError
from ..nn.local_outlier_factor import LocalOutlierFactor
from .vectors import SampledDetector, SampledSettings


class LocalOutlierFactorSettings(SampledSettings):
    """Density of normal samples around a vector's neighbours over that around itself."""

    name: Literal["local_outlier_factor"] = Field(
        "local_outlier_factor", description="What is learned, and how it predicts."
    )
    k: Positive = Field(20, description="Neighbours by which a density is measured.")
    bank: Positive = Field(
        20_000,
        description="Most vectors of normal samples that are kept, 4 bytes a number; of more, as many are drawn with "
        "train.seed.",
    )


class LocalOutlierFactorRecipe(SampledDetector):
    """A bank of normal vectors, and how dense it is around each."""

    def __init__(self, settings: LocalOutlierFactorSettings) -> None:
        super().__init__(settings)
        self._k = settings.k

    def detector(self, width: int) -> LocalOutlierFactor:
        return LocalOutlierFactor(width, num_neighbours=self._k)

    def learn(self, detector: nn.Module, vectors: Float[Tensor, "vectors width"], generator: torch.Generator) -> None:
        """Fill the bank; nothing is drawn.

        Raises:
            SettingsError: if there are no more vectors than neighbours.
        """
        assert isinstance(detector, LocalOutlierFactor)
        if len(vectors) <= self._k:
            raise SettingsError(
                f"The bank holds {len(vectors):,} vectors, each of which has fewer others than recipe.k = {self._k}; "
                "lower it."
            )
        detector.fill(vectors)
