"""Scores of trained models."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float32
from numpy.typing import NDArray
from torch import nn

from .batches import BatchSource
from .encoding import encode, passes
from .precision import Precision
from .recipes.recipe import Recipe


@torch.no_grad()
def score_rows(
    recipe: Recipe,
    models: Mapping[str, nn.Module],
    samples: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
) -> dict[str, Float32[np.ndarray, " rows"]]:
    """Anomaly scores of `samples`, in their order, by each of `models` (in evaluation mode, on their device), by name.

    Memory does not grow with the samples, and each is fetched once for all models.

    Raises:
        StoreError: if a row that should be complete is not.
    """
    parts: dict[str, list[NDArray[np.float32]]] = {name: [np.empty(0, np.float32)] for name in models}
    for batch in passes(samples, batch_size=batch_size):
        for name, model in models.items():
            encodings = encode(recipe, model, batch, precision=precision)
            parts[name].append(recipe.score(model, encodings).float().cpu().numpy())
    return {name: np.concatenate(scores) for name, scores in parts.items()}
