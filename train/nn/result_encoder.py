"""Result encoder: photographs of the finished seam, as patch tokens of several backbone blocks, become one vector."""

from collections.abc import Sequence
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .gem import GeM

Pooling = Literal["gem", "mean", "max", "mean+gem", "mean+max"]

_GATE_REDUCTION = 4


class MeanPooling(nn.Module):
    """Mean over the last axis but one, in float32 at least."""

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Sum in float32: half precision loses digits over some hundred tokens."""
        return tokens.mean(dim=-2, dtype=torch.promote_types(tokens.dtype, torch.float32))


class MaxPooling(nn.Module):
    """Maximum over the last axis but one."""

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Exact in any precision; tokens that tie share the gradient."""
        return tokens.amax(dim=-2)


class BlockPooling(nn.Module):
    """One block's patch tokens to one vector: each part of `pooling` pooled and normalised by itself, then joined."""

    def __init__(self, image_width: int, *, pooling: Pooling) -> None:
        super().__init__()
        kinds = {"gem": GeM, "mean": MeanPooling, "max": MaxPooling}
        self.pools = nn.ModuleList(kinds[part]() for part in pooling.split("+"))
        self.norms = nn.ModuleList(nn.LayerNorm(image_width) for _ in self.pools)
        self.output_width = image_width * len(self.pools)

    def forward(self, patches: Float[Tensor, "*rows patches width"]) -> Float[Tensor, "*rows pooled"]:
        """The parts in the order in which `pooling` names them."""
        parts = [norm(pool(patches).to(norm.weight.dtype)) for pool, norm in zip(self.pools, self.norms, strict=True)]
        return torch.cat(parts, dim=-1)


class ResultEncoder(nn.Module):
    """Pooled blocks, joined, gated by themselves, projected; the maximum over the views that are there is Z_result."""

    def __init__(self, image_width: int, *, poolings: tuple[Pooling, ...], hidden_width: int, width: int) -> None:
        super().__init__()
        blocks = [BlockPooling(image_width, pooling=pooling) for pooling in poolings]
        joined_width = sum(block.output_width for block in blocks)
        self.blocks = nn.ModuleList(blocks)
        self.gate = nn.Sequential(
            nn.Linear(joined_width, joined_width // _GATE_REDUCTION),
            nn.SiLU(),
            nn.Linear(joined_width // _GATE_REDUCTION, joined_width),
            nn.Sigmoid(),
        )
        self.head = nn.Sequential(
            nn.Linear(joined_width, hidden_width), nn.LayerNorm(hidden_width), nn.SiLU(), nn.Linear(hidden_width, width)
        )

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
        encoded: Tensor = self.head(joined * self.gate(joined))
        absent = rearrange(~view_mask, "batch views -> batch views 1")
        return encoded.masked_fill(absent, -torch.inf).amax(dim=1)
