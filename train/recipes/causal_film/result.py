"""The result side of Causal-FiLM: photographs, as patch tokens of several backbone blocks, become one vector."""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...nn.pooling import GeM, MaxPooling, MeanPooling

Pooling = Literal["gem", "mean", "max", "mean+gem", "mean+max"]
Views = Literal["max", "mean"]

_GATE_REDUCTION = 4


class BlockPooling(nn.Module):
    """One block's patch tokens to one vector: each part of `pooling` pooled and normalised by itself, then joined.

    With `block_width` a linear layer reduces the vector to it.
    """

    def __init__(self, image_width: int, *, pooling: Pooling, block_width: int | None = None) -> None:
        super().__init__()
        kinds = {"gem": GeM, "mean": MeanPooling, "max": MaxPooling}
        self.pools = nn.ModuleList(kinds[part]() for part in pooling.split("+"))
        self.norms = nn.ModuleList(nn.LayerNorm(image_width) for _ in self.pools)
        pooled_width = image_width * len(self.pools)
        self.reduce = nn.Identity() if block_width is None else nn.Linear(pooled_width, block_width)
        self.output_width = block_width or pooled_width

    def forward(self, patches: Float[Tensor, "*rows patches width"]) -> Float[Tensor, "*rows pooled"]:
        """The parts in the order in which `pooling` names them."""
        parts = [norm(pool(patches).to(norm.weight.dtype)) for pool, norm in zip(self.pools, self.norms, strict=True)]
        reduced: Tensor = self.reduce(torch.cat(parts, dim=-1))
        return reduced


class ResultEncoder(nn.Module):
    """Pooled blocks, joined, gated by themselves, projected; maximum or mean over the views that are there: Z_result.

    Without `gate` the joined blocks are projected as they are.
    """

    def __init__(
        self,
        image_width: int,
        *,
        poolings: tuple[Pooling, ...],
        hidden_width: int,
        width: int,
        block_width: int | None = None,
        gate: bool = True,
        views: Views = "max",
    ) -> None:
        super().__init__()
        blocks = [BlockPooling(image_width, pooling=pooling, block_width=block_width) for pooling in poolings]
        joined_width = sum(block.output_width for block in blocks)
        self.blocks = nn.ModuleList(blocks)
        # From none to all of each feature, as the features together ask for.
        reduced = joined_width // _GATE_REDUCTION
        self.gate = (
            nn.Sequential(nn.Linear(joined_width, reduced), nn.SiLU(), nn.Linear(reduced, joined_width), nn.Sigmoid())
            if gate
            else None
        )
        self.head = nn.Sequential(
            nn.Linear(joined_width, hidden_width), nn.LayerNorm(hidden_width), nn.SiLU(), nn.Linear(hidden_width, width)
        )
        self._aggregate = _AGGREGATIONS[views]

    def forward(
        self,
        patches: Sequence[Float[Tensor, "batch views patches image_width"]],
        *,
        view_mask: Bool[Tensor, "batch views"],
    ) -> Float[Tensor, "batch width"]:
        """Z_result from an entry a block; `view_mask` is true where a photograph exists, one a row at least.

        What stands in the place of an absent view is ignored, but has to be finite.
        """
        joined = torch.cat([pool(block) for pool, block in zip(self.blocks, patches, strict=True)], dim=-1)
        return self._aggregate(self.head(joined if self.gate is None else joined * self.gate(joined)), view_mask)


def _max_of_views(
    encoded: Float[Tensor, "batch views width"], view_mask: Bool[Tensor, "batch views"]
) -> Float[Tensor, "batch width"]:
    return encoded.masked_fill(~view_mask.unsqueeze(-1), -torch.inf).amax(dim=1)


def _mean_of_views(
    encoded: Float[Tensor, "batch views width"], view_mask: Bool[Tensor, "batch views"]
) -> Float[Tensor, "batch width"]:
    kept = encoded.masked_fill(~view_mask.unsqueeze(-1), 0.0)
    return kept.sum(dim=1) / view_mask.sum(dim=1, keepdim=True)


_AGGREGATIONS = {"max": _max_of_views, "mean": _mean_of_views}


class TargetEncoder(nn.Module):
    """A moving average of the result encoder, to draw predictions to (Grill et al. 2020, arXiv:2006.07733).

    It takes no gradient, starts equal and moves when it is told to follow. A target that moves slowly cannot run
    towards the prediction, which is how the two would meet in a constant.
    """

    def __init__(self, followed: ResultEncoder) -> None:
        super().__init__()
        self.average = copy.deepcopy(followed).requires_grad_(False)

    @torch.no_grad()
    def follow(self, followed: ResultEncoder, *, decay: float) -> None:
        """Move all weights: `decay * average + (1 - decay) * followed`."""
        torch._foreach_lerp_(list(self.average.parameters()), list(followed.parameters()), 1 - decay)

    @torch.no_grad()
    def forward(
        self,
        patches: Sequence[Float[Tensor, "batch views patches image_width"]],
        *,
        view_mask: Bool[Tensor, "batch views"],
    ) -> Float[Tensor, "batch width"]:
        """As `ResultEncoder`, without a gradient."""
        encoded: Tensor = self.average(patches, view_mask=view_mask)
        return encoded
