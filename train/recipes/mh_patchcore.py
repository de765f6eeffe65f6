"""A small bank of whitened patches, as MH-PatchCore keeps: distances are Mahalanobis' along the principal components.

"MH-PatchCore" (arXiv 2605.27748): components that hold 99 % of the variance, each one's variance shrunk towards their
mean, and a coreset of 1,000 patches that is merged and reduced as patches come. Two passes; memory holds matrices as
wide as the vectors in double precision, and five banks.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import nn

from ...configs.section import Fraction, Positive
from ...errors import TrainingError
from ...progress import say
from ..nn.coreset import MergedCoreset
from ..nn.gaussian import ShrunkCovariance
from ..nn.whitening import WhitenedNeighbours
from ..types import Batch, Shapes
from .blocks import BlockDetector, BlockSettings
from .places import TopPercent


class MhPatchCoreSettings(BlockSettings):
    """Mahalanobis distance of patches from the nearest of a coreset of normal ones."""

    name: Literal["mh_patchcore"] = Field("mh_patchcore", description="What is learned, and how it predicts.")
    neighbourhood: Literal[1, 3, 5] = Field(
        3, description="Places in a row over which vectors are averaged before anything else, or steps."
    )
    variance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.99, description="Share of the variance of normal patches that the components hold, at least."
    )
    shrinkage: Fraction = Field(
        0.07, description="Share of each component's variance that is replaced by the mean of all."
    )
    bank: Positive = Field(1000, description="Patches of normal samples that are kept, chosen as a coreset.")
    top_percent: TopPercent = 1e-3


class MhPatchCoreRecipe(BlockDetector):
    """Whitening, and a bank of whitened patches."""

    def __init__(self, settings: MhPatchCoreSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> WhitenedNeighbours:
        return WhitenedNeighbours(sum(widths))

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Measure the covariance, then fill the bank; what is drawn is where each coreset begins.

        Raises:
            TrainingError: if all patches are equal.
        """
        assert isinstance(model, WhitenedNeighbours)
        settings = self._settings
        statistics = ShrunkCovariance(len(model.mean))
        for vectors in self.training_vectors(batches):
            statistics.add(vectors)
        if not statistics.unshrunk.trace() > 0:
            raise TrainingError(
                f"All {statistics.count:,} patches of the normal samples are equal, so they have no spread to measure "
                f"in; choose another array with --set {self.setting}=..."
            )
        model.use(statistics, variance=settings.variance, shrinkage=settings.shrinkage)
        kept = MergedCoreset(len(model.whitening), size=settings.bank, generator=generator)
        for vectors in self.training_vectors(batches):
            kept.add(model.whitened(vectors))
        model.bank = kept.coreset().to(model.mean.device)
        if kept.seen > len(model.bank):
            say(f"The memory holds {len(model.bank):,} of {kept.seen:,} patches (coreset of coresets; recipe.bank).")
