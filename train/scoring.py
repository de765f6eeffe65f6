"""Scores of trained models."""

from collections.abc import Collection, Mapping
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor, nn

from .data.batches import BatchSource
from .encoding import encode, passes
from .precision import Precision
from .recipes.recipe import Recipe

Name = TypeVar("Name")


@torch.no_grad()
def score_rows(
    recipe: Recipe,
    models: Mapping[Name, nn.Module],
    samples: BatchSource,
    *,
    batch_size: int,
    precision: Precision,
    without: Mapping[Name, Collection[str]] | None = None,
) -> dict[Name, Float32[np.ndarray, " rows"]]:
    """Anomaly scores of `samples`, in their order, by each of `models` (in evaluation mode, on their device), by name.

    Memory does not grow with the samples, and each is fetched once for all models. From a model that `without` names,
    those feature sets are hidden.

    Raises:
        StoreError: if a row that should be complete is not.
    """
    parts: dict[Name, list[Tensor]] = {name: [torch.empty(0, device=samples.device)] for name in models}
    hidden = without or {}
    for batch in passes(samples, batch_size=batch_size):
        for name, model in models.items():
            encodings = encode(recipe, model, batch, precision=precision, without=hidden.get(name, ()))
            parts[name].append(recipe.predict(model, encodings).score.float())
    return {name: torch.cat(scores).cpu().numpy() for name, scores in parts.items()}
