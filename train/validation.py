"""Validation of a model: loss on normals, AUROC where there are defects, and signs of collapse."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..metrics.auroc import auroc
from .collapse import effective_rank, mean_dimension_std
from .recipes.recipe import Recipe
from .resident import ResidentFeatures
from .scoring import map_batches, score_features


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

    def __init__(self, recipe: Recipe, features: ResidentFeatures, *, batch_size: int) -> None:
        self._recipe = recipe
        self._features = features
        self._normals = torch.from_numpy(np.flatnonzero(features.labels == 0))
        self._batch_size = batch_size

    def __call__(self, model: nn.Module) -> ValidationResult:
        """Judge `model`."""
        embeddings = map_batches(
            self._features,
            self._normals,
            lambda batch: self._recipe.embed(model, batch),
            batch_size=self._batch_size,
        )
        return ValidationResult(
            loss=self._loss(model),
            auroc=self._auroc(model),
            effective_rank=effective_rank(embeddings),
            embedding_std=mean_dimension_std(embeddings),
        )

    @torch.no_grad()
    def _loss(self, model: nn.Module) -> float:
        total = 0.0
        for samples in torch.split(self._normals, self._batch_size):
            loss = self._recipe.loss(model, self._features.batch(samples), None)["total"]
            total += float(loss) * len(samples)
        return total / len(self._normals)

    def _auroc(self, model: nn.Module) -> float | None:
        labels = self._features.labels
        if len(np.unique(labels)) < 2:
            return None
        return auroc(score_features(self._recipe, model, self._features, batch_size=self._batch_size), labels)
