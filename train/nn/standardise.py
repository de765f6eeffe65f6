"""Standardisation: with statistics measured on the training set in one pass, or of each sample by its own."""

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn

_VALUES_AT_ONCE = 2**21  # so that few of the half-precision features are ever in memory in double precision


class ChannelStatistics:
    """Statistics of each channel over all entries seen so far, in float64.

    Each part has a mean and a sum of squares of its own, and the two are merged with those before: so large offsets do
    not drown small deviations, though every value is looked at once (Chan, Golub and LeVeque 1983, Algorithms for
    computing the sample variance, The American Statistician 37, equations 2.1).
    """

    def __init__(self, width: int) -> None:
        self._count = 0
        self._mean = torch.zeros(width, dtype=torch.float64)
        self._squares = torch.zeros(width, dtype=torch.float64)  # of deviations from the mean, summed
        self._lowest = torch.full((width,), torch.inf, dtype=torch.float64)
        self._highest = torch.full((width,), -torch.inf, dtype=torch.float64)

    def add(
        self, values: Float[Tensor, "rows *axes width"], *, keep: Bool[Tensor, " rows *kept"] | None = None
    ) -> None:
        """Take `values` in; `keep` is false for rows that have none, or for entries of a row that are padding."""
        kept = (values if keep is None else values[keep]).reshape(-1, values.shape[-1])
        if kept.device.type == "mps":
            kept = kept.cpu()  # has float64
        for part in torch.split(kept, max(1, _VALUES_AT_ONCE // kept.shape[-1])):
            if len(part):
                self._merge(part.double())

    @property
    def mean(self) -> Float64[Tensor, " width"]:
        """Mean of each channel."""
        return self._mean

    @property
    def std(self) -> Float64[Tensor, " width"]:
        """Standard deviation (population form) of each channel; 1 where it never changes or nothing was seen."""
        # Equal values may have a deviation of a rounding error, so it is asked for a range. Nothing has none either.
        return (self._squares / max(1, self._count)).sqrt().masked_fill(self._lowest >= self._highest, 1.0)

    def _merge(self, part: Float64[Tensor, "entries width"]) -> None:
        mean = part.mean(dim=0)
        squares, lowest, highest = (part - mean).square().sum(dim=0), part.amin(dim=0), part.amax(dim=0)
        total = self._count + len(part)
        step = mean.cpu() - self._mean
        self._squares += squares.cpu() + step.square() * (self._count * len(part) / total)
        self._mean = self._mean + step * (len(part) / total)
        self._lowest = torch.minimum(self._lowest, lowest.cpu())
        self._highest = torch.maximum(self._highest, highest.cpu())
        self._count = total


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

        They are of the whole training set, never of one sample: that would erase what is constant within it.
        """
        self.mean.copy_(statistics.mean)
        self.std.copy_(statistics.std)


def standardise_each(series: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch time channels"]:
    """Each channel of each sample to mean 0 and standard deviation 1 over time (population form), in float32.

    A channel that does not change within the sample becomes 0, and set-points are erased: samples made at other
    settings look alike. `Standardise` keeps them.
    """
    values = series.float()
    deviations = values - values.mean(dim=1, keepdim=True)
    std = deviations.square().mean(dim=1, keepdim=True).sqrt()
    # Equal values may have a deviation of a rounding error, so equality itself is asked for.
    constant = values.amin(dim=1, keepdim=True) == values.amax(dim=1, keepdim=True)
    return (deviations / std.masked_fill(constant, 1.0)).masked_fill(constant, 0.0)
