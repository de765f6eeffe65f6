"""Scores of a trained model, straight from a store."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import nn

from ..cache.store import FeatureStore
from .batches import batches_in_order
from .recipes.recipe import Recipe
from .streamed import StreamedFeatures


@torch.no_grad()
def score_rows(
    recipe: Recipe,
    models: Mapping[str, nn.Module],
    store: FeatureStore,
    rows: NDArray[np.int64],
    *,
    batch_size: int = 32,
) -> dict[str, Float32[np.ndarray, " rows"]]:
    """Anomaly scores of `rows`, in their order, by each of `models` (in evaluation mode, on one device), by its name.

    Memory does not grow with the rows, and each is read once for all models.

    Raises:
        StoreError: if a row is not complete in all feature sets of the recipe.
    """
    assert not any(model.training for model in models.values())
    device = next(next(iter(models.values())).parameters()).device
    parts: dict[str, list[NDArray[np.float32]]] = {name: [np.empty(0, np.float32)] for name in models}
    source = StreamedFeatures(store, rows, recipe.requires(), device)
    for batch in source.batches(batches_in_order(len(rows), batch_size=batch_size)):
        for name, model in models.items():
            parts[name].append(recipe.score(model, batch).float().cpu().numpy())
    return {name: np.concatenate(scores) for name, scores in parts.items()}
