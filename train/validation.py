"""Validation of a model: loss on normals, AUROC where there are defects, and signs of collapse."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from ..metrics.auroc import auroc
from .batches import BatchSource, batches_in_order, regrouped
from .collapse import effective_rank, mean_dimension_std
from .recipes.recipe import Batch, Recipe


@dataclass(frozen=True)
class ValidationResult:
    """What one model does on the validation samples.

    Attributes:
        loss: training's loss without augmentation, mean over normals.
        auroc: None where validation lacks a class.
        effective_rank: of the normals' embeddings, see `collapse`.
        embedding_std: mean over dimensions of their standard deviation.
    """

    loss: float
    auroc: float | None
    effective_rank: float
    embedding_std: float


Validate = Callable[[nn.Module], ValidationResult]
"""Judges a model in evaluation mode."""


class Validator:
    """Holds the validation samples; call it with a model in evaluation mode.

    Batches have a fixed order and size, so equal models give equal results to the last bit.
    """

    def __init__(
        self, recipe: Recipe, samples: BatchSource, *, labels: UInt8[np.ndarray, " samples"], batch_size: int
    ) -> None:
        assert len(labels) == len(samples)
        self._recipe = recipe
        self._samples = samples
        self._labels = labels
        self._is_normal = torch.from_numpy(labels == 0)
        self._has_both_labels = len(np.unique(labels)) == 2
        self._order = batches_in_order(len(samples), batch_size=batch_size)
        self._batch_size = batch_size

    @torch.no_grad()
    def __call__(self, model: nn.Module) -> ValidationResult:
        """Judge `model`; every sample is fetched once."""
        scores: list[Tensor] = []
        embeddings: list[Tensor] = []
        loss = 0.0
        for normals in self._normals(self._scored(model, scores)):
            embedded = self._recipe.embed(model, normals).float().cpu()
            loss += float(self._recipe.loss(model, normals, None)["total"]) * len(embedded)
            embeddings.append(embedded)
        joined = torch.cat(embeddings)
        return ValidationResult(
            loss=loss / len(joined),
            auroc=auroc(torch.cat(scores).numpy(), self._labels) if scores else None,
            effective_rank=effective_rank(joined),
            embedding_std=mean_dimension_std(joined),
        )

    def _scored(self, model: nn.Module, scores: list[Tensor]) -> Iterator[Batch]:
        """All batches; each one's scores are appended on the way where there are both labels to compare."""
        for batch in self._samples.batches(self._order):
            if self._has_both_labels:
                scores.append(self._recipe.score(model, batch).float().cpu())
            yield batch

    def _normals(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The normals in batches of their own, as large as those of training: some losses compare a batch's samples."""
        masks = [self._is_normal[samples].to(self._samples.device) for samples in self._order]
        return regrouped(batches, keep=masks, batch_size=self._batch_size)
