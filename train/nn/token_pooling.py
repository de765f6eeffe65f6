"""Pooling over tokens as operators of torch, with a compiled kernel for each kind of device.

Operators, because torch.compile then takes the kernels as they are. They have no gradient: see the modules that use
them.
"""

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from .kernels.triton_presence import is_triton_installed

_KERNEL_DTYPES = (torch.float16, torch.bfloat16, torch.float32)


def can_average_fused(tokens: Tensor) -> bool:
    """Whether `token_mean` takes these tokens: exported programs hold torch's own operators only."""
    return tokens.device.type == "cpu" and tokens.dtype in _KERNEL_DTYPES and not torch.compiler.is_exporting()


def can_pool_fused(tokens: Tensor) -> bool:
    """Whether `token_power_mean` takes these tokens."""
    on_cuda = tokens.device.type == "cuda" and is_triton_installed()
    has_kernel = (tokens.device.type == "cpu" or on_cuda) and tokens.dtype in _KERNEL_DTYPES
    return has_kernel and not torch.compiler.is_exporting()


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
