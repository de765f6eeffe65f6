"""Subspace: how far patches lie outside the directions in which normal patches vary, as SubspaceAD does.

"SubspaceAD" (arXiv 2602.23013): principal components of the mean over deep blocks that hold 99 % of the variance, and
the squared residual. Two passes, and matrices as wide as the vectors in double precision.
"""

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...errors import SettingsError, TrainingError
from ..nn.subspace import Subspace, TwoPassCovariance
from ..types import Batch, Shapes
from .blocks import BlockDetector, BlockSettings


class SubspaceSettings(BlockSettings):
    """Squared distance of patches from the principal subspace of normal ones; of several blocks, of their mean."""

    name: Literal["subspace"] = Field("subspace", description="What is learned, and how it predicts.")
    variance: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.99, description="Share of the variance of normal patches that the subspace holds, at least."
    )


class SubspaceRecipe(BlockDetector):
    """Principal components of normal patches."""

    def __init__(self, settings: SubspaceSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def network(self, widths: Sequence[int], *, shapes: Shapes) -> Subspace:
        if len(set(widths)) > 1:
            raise SettingsError(
                f"The blocks of recipe.array and recipe.beside have {', '.join(map(str, widths))} numbers a patch, so "
                "they have no mean; name blocks of one width."
            )
        return Subspace(widths[0])

    def vectors(self, batch: Batch) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """The mean over the blocks."""
        blocks, real = self.blocks(batch)
        return (torch.stack([block.float() for block in blocks]).mean(dim=0) if len(blocks) > 1 else blocks[0]), real

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Measure mean and covariance, in two passes; nothing is drawn.

        Raises:
            TrainingError: if all patches are equal.
        """
        assert isinstance(model, Subspace)
        statistics = TwoPassCovariance(len(model.mean))
        for vectors in self.training_vectors(batches):
            statistics.add_to_mean(vectors)
        for vectors in self.training_vectors(batches):
            statistics.add_to_covariance(vectors)
        if not statistics.covariance.trace() > 0:
            raise TrainingError(
                f"All {statistics.count:,} patches of the normal samples are equal, so they span nothing; choose "
                f"another array with --set {self.setting}=..."
            )
        model.use(statistics, share=self._settings.variance)
