"""Late fusion: the scores of several models, each in units of its own spread on normal samples, averaged."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn


class LateFusion(nn.Module):
    """Models side by side, with what makes one score of theirs; equal weights and no scaling until it is told."""

    mean: Tensor
    std: Tensor
    weight: Tensor

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        count = len(self.members)
        self.register_buffer("mean", torch.zeros(count))
        self.register_buffer("std", torch.ones(count))
        self.register_buffer("weight", torch.full((count,), 1 / count))

    def use(self, *, mean: Sequence[float], std: Sequence[float], weight: Sequence[float]) -> None:
        """Combine scores by these from now on, one number a member; weights are convex."""
        for buffer, values in ((self.mean, mean), (self.std, std), (self.weight, weight)):
            buffer.copy_(torch.tensor(values))

    def forward(self, scores: Float[Tensor, "batch members"]) -> Float[Tensor, " batch"]:
        """The members' scores as one: the weighted mean of (score - mean) / std."""
        # A sum and not a matrix product, whose rounding may depend on how many rows there are.
        combined: Tensor = ((scores - self.mean) / self.std * self.weight).sum(dim=1)
        return combined
