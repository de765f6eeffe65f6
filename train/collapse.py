"""Signs of a representation that collapses: how many dimensions embeddings fill, and how far they spread."""

import torch
from jaxtyping import Float
from torch import Tensor


def effective_rank(embeddings: Float[Tensor, "rows dim"]) -> float:
    """Exponential of the entropy of the normalised singular values, after centring; 0 where all rows are equal.

    From 1 (all on one line) to min(rows - 1, dim) (spread alike in every direction).
    Source: Roy and Vetterli 2007, The effective rank, EUSIPCO, definition 1.
    """
    rows = embeddings.double()
    values = torch.linalg.svdvals(rows - rows.mean(dim=0))
    # Differences below the rounding of the embeddings themselves are no directions.
    rounding = torch.finfo(embeddings.dtype).eps * max(rows.shape) * torch.linalg.vector_norm(rows)
    values = values[values > rounding]
    if not len(values):
        return 0.0
    shares = values / values.sum()
    return float(torch.exp(-(shares * shares.log()).sum()))


def spread(embeddings: Float[Tensor, "rows dim"]) -> dict[str, float]:
    """Effective rank, and mean, least and largest of the dimensions' standard deviations over rows (population form).

    All are 0 where all rows are equal.
    """
    deviations = embeddings.double().std(dim=0, correction=0)
    return {
        "effective_rank": effective_rank(embeddings),
        "std": float(deviations.mean()),
        "std_min": float(deviations.min()),
        "std_max": float(deviations.max()),
    }
