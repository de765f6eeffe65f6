"""PointNet++ (Qi et al. 2017) on neighbourhoods that are known already: centres and neighbours come as numbers of
points, so that no distance is computed here, and padding, which no number leads to, has no part in anything.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


def chosen(values: Float[Tensor, "batch points width"], numbers: Int[Tensor, " batch *chosen"]) -> Tensor:
    """The rows of `values` of these numbers, (batch, *chosen, width)."""
    flat = numbers.flatten(1).long().unsqueeze(-1).expand(-1, -1, values.shape[-1])
    return values.gather(1, flat).reshape(*numbers.shape, values.shape[-1])


class SharedLayers(nn.Module):
    """Linear layers with batch normalisation and ReLU, the same for every point; normalised over all points."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.linear = nn.ModuleList(nn.Linear(before, after, bias=False) for before, after in pairs)
        self.norm = nn.ModuleList(nn.BatchNorm1d(after) for _, after in pairs)

    def forward(self, values: Float[Tensor, "batch *axes width"]) -> Tensor:
        """(batch, *axes, last of the widths)."""
        found = values.flatten(0, -2)
        for linear, norm in zip(self.linear, self.norm, strict=True):
            found = torch.relu(norm(linear(found)))
        return found.reshape(*values.shape[:-1], -1)


class SetAbstraction(nn.Module):
    """One level: each centre gets the maximum over its neighbours of layers on their place beside it and what is known
    of them."""

    def __init__(self, width: int, widths: Sequence[int]) -> None:
        """`width` is that of what is known of a point beside its place, 0 for nothing."""
        super().__init__()
        self.layers = SharedLayers([3 + width, *widths])

    def forward(
        self,
        places: Float[Tensor, "batch points 3"],
        known: Float[Tensor, "batch points width"] | None,
        centres: Float[Tensor, "batch centres 3"],
        neighbours: Int[Tensor, "batch centres neighbours"],
    ) -> Float[Tensor, "batch centres _"]:
        """What is known of each centre; `neighbours` are numbers of points."""
        near = chosen(places, neighbours) - centres.unsqueeze(2)
        values = near if known is None else torch.cat([near, chosen(known, neighbours)], dim=-1)
        found: Tensor = self.layers(values).amax(dim=2)
        return found


class PointNetPlusPlus(nn.Module):
    """Two levels of neighbourhoods, then all centres together, then two layers: a vector of 4 `width` for each cloud.

    With `width` 64, the levels have 128 and 256 numbers a centre, the cloud 1024, and the layers after it 512 and 256.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = SetAbstraction(0, [width, width, 2 * width])
        self.second = SetAbstraction(2 * width, [2 * width, 2 * width, 4 * width])
        self.all = SharedLayers([3 + 4 * width, 4 * width, 8 * width, 16 * width])
        self.last = SharedLayers([16 * width, 8 * width, 4 * width])

    def forward(
        self,
        points: Float[Tensor, "batch points 3"],
        order: Int[Tensor, "batch centres"],
        first: Int[Tensor, "batch centres _"],
        second: Int[Tensor, "batch fewer _"],
    ) -> Float[Tensor, "batch _"]:
        """`order` are the centres of the first level, the first of them those of the second; `first` are numbers of
        points, `second` of centres of the first level. Padded points may hold NaN."""
        places = torch.nan_to_num(points)  # gathering spreads no NaN, but its gradient would meet it
        centres = chosen(places, order)
        fewer = centres[:, : second.shape[1]]
        found = self.second(centres, self.first(places, None, centres, first), fewer, second)
        whole = self.all(torch.cat([fewer, found], dim=-1)).amax(dim=1)
        vector: Tensor = self.last(whole)
        return vector
