"""Standardisation with statistics that were measured on the training set, not learned."""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

_ROWS_AT_ONCE = 64  # so that half-precision features are never all in memory in double precision


class Standardise(nn.Module):
    """(values - mean) / std along the last axis, in float32; the identity until it is measured.

    With `groups`, the axis after the batch holds groups (such as blocks) that each have statistics of their own.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, *, groups: int | None = None) -> None:
        super().__init__()
        shape = (width,) if groups is None else (groups, width)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def forward(self, values: Float[Tensor, "batch *axes width"]) -> Float[Tensor, "batch *axes width"]:
        """Standardised values, of the shape that came in."""
        shape = self.mean.shape[:-1] + (1,) * (values.ndim - 1 - self.mean.ndim) + self.mean.shape[-1:]
        standardised: Tensor = (values.float() - self.mean.reshape(shape)) / self.std.reshape(shape)
        return standardised

    def measure(
        self, values: Float[Tensor, "rows *axes width"], *, keep: Bool[Tensor, "rows axis"] | None = None
    ) -> None:
        """Take the statistics of `values`; `keep` is false for entries that are padding (only without groups).

        Over the whole training set and never per recording: that would erase what is constant within one.
        """
        groups = [values[:, group] for group in range(len(self.mean))] if self.mean.ndim == 2 else [values]
        measured = [_statistics(group, keep=keep) for group in groups]
        self.mean.copy_(torch.stack([mean for mean, _ in measured]).reshape(self.mean.shape))
        self.std.copy_(torch.stack([std for _, std in measured]).reshape(self.std.shape))


def _statistics(values: Tensor, *, keep: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel; a channel that never changes has deviation 1.

    Two passes in float64, a few rows at a time: large offsets do not drown small deviations.
    """
    width = values.shape[-1]

    def parts() -> Iterator[Tensor]:
        for start in range(0, len(values), _ROWS_AT_ONCE):
            rows = values[start : start + _ROWS_AT_ONCE]
            kept = rows if keep is None else rows[keep[start : start + _ROWS_AT_ONCE]]
            yield kept.reshape(-1, width).double()

    count = sum(len(part) for part in parts())
    mean = torch.stack([part.sum(dim=0) for part in parts()]).sum(dim=0) / count
    variance = torch.stack([(part - mean).square().sum(dim=0) for part in parts()]).sum(dim=0) / count
    # Equal values may have a deviation of a rounding error, so equality itself is asked for.
    lowest = torch.stack([part.amin(dim=0) for part in parts()]).amin(dim=0)
    highest = torch.stack([part.amax(dim=0) for part in parts()]).amax(dim=0)
    return mean, variance.sqrt().masked_fill(lowest == highest, 1.0)
