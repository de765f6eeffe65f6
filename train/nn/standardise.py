"""Standardisation: with statistics measured on the training set, or of each recording by its own."""

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


def standardise_each(recordings: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time channels"]:
    """Each channel of each recording to mean 0 and standard deviation 1 over time (population form), in float32.

    A channel that does not change within the recording becomes 0, and set-points are erased: welds made at other
    currents look alike. `Standardise` keeps them.
    """
    values = recordings.float()
    deviations = values - values.mean(dim=1, keepdim=True)
    std = deviations.square().mean(dim=1, keepdim=True).sqrt()
    # Equal values may have a deviation of a rounding error, so equality itself is asked for.
    constant = values.amin(dim=1, keepdim=True) == values.amax(dim=1, keepdim=True)
    return (deviations / std.masked_fill(constant, 1.0)).masked_fill(constant, 0.0)
