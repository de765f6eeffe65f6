"""Standardisation with statistics that were measured on the training set, not learned."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .channel_statistics import ChannelStatistics


class Standardise(nn.Module):
    """(values - mean) / std along the last axis, in float32; the identity until it is given statistics."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def forward(self, values: Float[Tensor, "batch *axes width"]) -> Float[Tensor, "batch *axes width"]:
        """Standardised values, of the shape that came in."""
        standardised: Tensor = (values.float() - self.mean) / self.std
        return standardised

    def use(self, statistics: ChannelStatistics) -> None:
        """Standardise by these from now on.

        They are of the whole training set, never of one recording: that would erase what is constant within it.
        """
        self.mean.copy_(statistics.mean)
        self.std.copy_(statistics.std)
