"""GeM: the generalised mean over tokens, with an exponent that is learned (Radenovic et al. 2018, arXiv:1711.02512)."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .token_pooling import can_pool_fused, token_power_mean

_SMALLEST_VALUE = 1e-6  # tokens are clamped here: a power mean is defined for positive values only


class GeM(nn.Module):
    """`mean(tokens ** p) ** (1 / p)`: the mean at p = 1, towards the maximum as p grows. One parameter, p > 0."""

    def __init__(self, *, exponent: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(exponent))

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Pool the last axis but one; half-precision tokens are pooled in float32."""
        pooled: Tensor = _GeneralisedMean.apply(tokens, self.p)  # type: ignore[no-untyped-call]
        return pooled


class _GeneralisedMean(torch.autograd.Function):
    """The pooling with its gradients written out.

    Patch tokens are by far the largest thing in a batch and need no gradient while training. All that p's gradient
    asks of them is one mean, taken on the way forward: nothing of their size is kept or read again, nor made where
    there is a fused kernel.
    """

    @staticmethod
    def forward(ctx: Any, tokens: Tensor, p: Tensor) -> Tensor:
        pool = token_power_mean if can_pool_fused(tokens) else _pool
        pooled, mean_logs = pool(tokens, p)
        ctx.save_for_backward(tokens, p, pooled, mean_logs)
        return pooled

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pooled_gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        tokens, p, pooled, mean_logs = ctx.saved_tensors
        p_gradient = (pooled_gradient * pooled * (mean_logs - pooled.log()) / p).sum().to(p.dtype)
        if not ctx.needs_input_grad[0]:
            return None, p_gradient
        # Relative to the pooled value no power overflows: a token exceeds it by num_tokens ** (1 / p) at most.
        relative = tokens.to(pooled.dtype).clamp(min=_SMALLEST_VALUE) / pooled.unsqueeze(-2)
        tokens_gradient = relative ** (p - 1) * (pooled_gradient / tokens.shape[-2]).unsqueeze(-2)
        return tokens_gradient.masked_fill(tokens < _SMALLEST_VALUE, 0).to(tokens.dtype), p_gradient


def _pool(tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The power mean, and the mean of the tokens' logarithms with their powers as weights.

    Powers are taken relative to the largest token, so that no p overflows.
    """
    logs = tokens.to(torch.promote_types(tokens.dtype, torch.float32)).clamp(min=_SMALLEST_VALUE).log_()
    top = logs.amax(dim=-2, keepdim=True)
    powers = (logs - top).mul_(p).exp_()
    total = powers.sum(dim=-2)
    pooled = torch.exp(top.squeeze(-2) + (total / tokens.shape[-2]).log() / p)
    return pooled, powers.mul_(logs).sum(dim=-2) / total
