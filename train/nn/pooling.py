"""Tokens pooled to one vector: their mean, their maximum, or the mean of a power of them that is learned.

The means are operators of torch with a compiled kernel for each kind of device, because torch.compile takes operators
as they are. These have no gradient; the functions around them do.
"""

from typing import Any

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from .kernels.shared import SMALLEST_POOLED, each_alone, has_kernel

_KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


@torch.library.custom_op(
    "weldcache::token_mean", mutates_args=(), device_types="cpu", schema="(Tensor tokens) -> Tensor"
)
def token_mean(tokens: Float[Tensor, "*rows tokens width"]) -> Float32[Tensor, "*rows width"]:
    """Mean over the last axis but one, in float32."""
    from .kernels.token_pooling_cpu import token_mean_cpu  # here, because it imports numba, which takes a while

    return token_mean_cpu(tokens)


@torch.library.custom_op(
    "weldcache::token_power_mean",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor tokens, Tensor p) -> (Tensor, Tensor)",
)
def token_power_mean(
    tokens: Float[Tensor, "*rows tokens width"], p: Float[Tensor, ""]
) -> tuple[Float32[Tensor, "*rows width"], Float32[Tensor, "*rows width"]]:
    """The power mean `mean(tokens ** p) ** (1 / p)`, and the mean of the tokens' logarithms with powers as weights."""
    from .kernels.token_pooling_cpu import token_power_mean_cpu

    return token_power_mean_cpu(tokens, p)


@token_power_mean.register_kernel("cuda")
def _token_power_mean_on_cuda(tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    from .kernels.token_pooling_triton import token_power_mean_triton

    return token_power_mean_triton(tokens, p)


@token_mean.register_fake
def _describe_mean(tokens: Tensor) -> Tensor:
    return tokens.new_empty((*tokens.shape[:-2], tokens.shape[-1]), dtype=torch.float32)


@token_power_mean.register_fake
def _describe_power_mean(tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    return _describe_mean(tokens), _describe_mean(tokens)


@token_mean.register_vmap
def _means_of_stacked(info: Any, in_dims: tuple[int | None, ...], tokens: Tensor) -> tuple[Tensor, int]:
    """Rows may have any axes, so the stacked ones are one more."""
    return token_mean(tokens.movedim(in_dims[0] or 0, 0)), 0


class MaxPooling(nn.Module):
    """Maximum over the last axis but one, exact in any precision."""

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Tokens that tie share the gradient."""
        return tokens.amax(dim=-2)


class GeM(nn.Module):
    """The generalised mean with a learned exponent p > 0, its one parameter (Radenovic et al. 2018, arXiv:1711.02512).

    `mean(tokens ** p) ** (1 / p)`: the mean at p = 1, towards the maximum as p grows.
    """

    def __init__(self, *, exponent: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(exponent))

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Pool the last axis but one, in float32 at least."""
        pooled: Tensor = _GeneralisedMean.apply(tokens, self.p)[0]  # type: ignore[no-untyped-call]
        return pooled


class _GeneralisedMean(torch.autograd.Function):
    """The pooling with its gradients written out.

    Patch tokens are by far the largest thing in a batch and need no gradient while training. All that p's gradient
    asks of them is one mean, taken on the way forward: nothing of their size is kept or read again, nor made where
    there is a fused kernel.
    """

    @staticmethod
    def forward(tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        pool = token_power_mean if has_kernel(tokens, dtypes=_KERNEL_DTYPES, on_cuda=True) else _pool
        pooled: tuple[Tensor, Tensor] = pool(tokens, p)
        return pooled

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.mark_non_differentiable(output[1])
        ctx.save_for_backward(*inputs, *output)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, ...], *arguments: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        """Of stacked models each exponent by itself: tokens that all of them share are not copied."""
        return each_alone(_GeneralisedMean.apply, info, in_dims, *arguments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pooled_gradient: Tensor, _: Tensor) -> tuple[Tensor | None, Tensor]:
        tokens, p, pooled, mean_logs = ctx.saved_tensors
        p_gradient = (pooled_gradient * pooled * (mean_logs - pooled.log()) / p).sum().to(p.dtype)
        if not ctx.needs_input_grad[0]:
            return None, p_gradient
        # Relative to the pooled value no power overflows: a token exceeds it by num_tokens ** (1 / p) at most.
        relative = tokens.to(pooled.dtype).clamp(min=SMALLEST_POOLED) / pooled.unsqueeze(-2)
        tokens_gradient = relative ** (p - 1) * (pooled_gradient / tokens.shape[-2]).unsqueeze(-2)
        return tokens_gradient.masked_fill(tokens < SMALLEST_POOLED, 0).to(tokens.dtype), p_gradient


def _pool(tokens: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """The power mean, and the mean of the tokens' logarithms with their powers as weights.

    Powers are taken relative to the largest token, so that no p overflows.
    """
    logs = tokens.to(torch.promote_types(tokens.dtype, torch.float32)).clamp(min=SMALLEST_POOLED).log_()
    top = logs.amax(dim=-2, keepdim=True)
    powers = (logs - top).mul_(p).exp_()
    total = powers.sum(dim=-2)
    pooled = torch.exp(top.squeeze(-2) + (total / tokens.shape[-2]).log() / p)
    return pooled, powers.mul_(logs).sum(dim=-2) / total


class MeanPooling(nn.Module):
    """Mean over the last axis but one, in float32 at least: half precision loses digits over some hundred tokens.

    Where there is a kernel, no copy of half-precision tokens in single precision is made.
    """

    def forward(self, tokens: Float[Tensor, "*rows tokens width"]) -> Float[Tensor, "*rows width"]:
        """Each channel by itself."""
        if has_kernel(tokens, dtypes=_KERNEL_DTYPES, on_cuda=False):
            pooled: Tensor = _FusedMean.apply(tokens)  # type: ignore[no-untyped-call]
            return pooled
        return tokens.mean(dim=-2, dtype=torch.promote_types(tokens.dtype, torch.float32))


class _FusedMean(torch.autograd.Function):
    """The kernel with its gradient, which each token has an equal share of."""

    generate_vmap_rule = True

    @staticmethod
    def forward(tokens: Tensor) -> Tensor:
        pooled: Tensor = token_mean(tokens)
        return pooled

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        ctx.tokens_shape, ctx.tokens_dtype = inputs[0].shape, inputs[0].dtype

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, pooled_gradient: Tensor) -> Tensor:
        shares: Tensor = (pooled_gradient / ctx.tokens_shape[-2]).to(ctx.tokens_dtype)
        gradient: Tensor = shares.unsqueeze(-2).expand(ctx.tokens_shape)
        return gradient
