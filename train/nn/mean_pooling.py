"""Mean over tokens, without a copy of half-precision tokens in single precision where there is a fused kernel."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .token_pooling import can_average_fused, token_mean


class MeanPooling(nn.Module):
    """Mean over the last axis but one, in float32 at least: half precision loses digits over some hundred tokens."""

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Pool each channel by itself."""
        if can_average_fused(tokens):
            pooled: Tensor = _FusedMean.apply(tokens)  # type: ignore[no-untyped-call]
            return pooled
        return tokens.mean(dim=-2, dtype=torch.promote_types(tokens.dtype, torch.float32))


class _FusedMean(torch.autograd.Function):
    """The kernel with its gradient, which each token has an equal share of."""

    @staticmethod
    def forward(ctx: Any, tokens: Tensor) -> Tensor:
        ctx.tokens_shape, ctx.tokens_dtype = tokens.shape, tokens.dtype
        pooled: Tensor = token_mean(tokens)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pooled_gradient: Tensor) -> Tensor:
        shares: Tensor = (pooled_gradient / ctx.tokens_shape[-2]).to(ctx.tokens_dtype)
        gradient: Tensor = shares.unsqueeze(-2).expand(ctx.tokens_shape)
        return gradient
