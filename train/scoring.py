"""Scores of a trained model: over features that are on the device already, or straight from a store."""

from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor, nn

from ..cache.store import FeatureStore
from .batches import BatchSource
from .recipes.recipe import Batch, Recipe
from .resident import load_resident


@torch.no_grad()
def map_batches(
    source: BatchSource, samples: Int64[Tensor, " samples"], compute: Callable[[Batch], Tensor], *, batch_size: int
) -> Tensor:
    """`compute` of these samples in their order, joined on the CPU in float32; its result has the row axis first."""
    return torch.cat([compute(source.batch(batch)).float().cpu() for batch in torch.split(samples, batch_size)])


def score_features(
    recipe: Recipe, model: nn.Module, source: BatchSource, *, batch_size: int
) -> Float32[np.ndarray, " samples"]:
    """Anomaly scores in the order of `source`; `model` is in evaluation mode."""
    assert not model.training
    everyone = torch.arange(len(source))
    scores = map_batches(source, everyone, lambda batch: recipe.score(model, batch), batch_size=batch_size)
    return cast(NDArray[np.float32], scores.numpy())


def score_rows(
    recipe: Recipe,
    models: Mapping[str, nn.Module],
    store: FeatureStore,
    rows: NDArray[np.int64],
    *,
    batch_size: int = 32,
) -> dict[str, Float32[np.ndarray, " rows"]]:
    """Anomaly scores of `rows`, in their order, by each of `models` (all on one device), by its name.

    Only one batch of features is in memory at a time, and each is read once for all models.

    Raises:
        StoreError: if a row is not complete in all modalities of the recipe.
    """
    device = next(next(iter(models.values())).parameters()).device
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in models}
    for start in range(0, len(rows), batch_size):
        batch = load_resident(store, rows[start : start + batch_size], requests=recipe.requires(), device=device)
        for name, model in models.items():
            parts[name].append(score_features(recipe, model, batch, batch_size=batch_size))
    return {name: np.concatenate([*scores, np.empty(0, np.float32)]) for name, scores in parts.items()}
