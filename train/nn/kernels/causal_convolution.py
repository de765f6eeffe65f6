"""The short causal convolution of a Mamba layer, with its activation: one differentiable function."""

from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from .shared import has_kernel


def causal_convolution(
    inputs: Float[Tensor, "batch time channels"],
    *,
    weight: Float[Tensor, "channels taps"],
    bias: Float[Tensor, " channels"],
) -> Float[Tensor, "batch time channels"]:
    """`silu(bias + convolution)`, each channel by itself; a step sees itself, by the last tap, and those before it.

    On the CPU in float32 a compiled kernel runs, which has no need of time as the last axis; elsewhere torch's.
    """
    if has_kernel(inputs, dtypes=(torch.float32,), on_cuda=False):
        outputs: Tensor = _convolve(inputs, weight.to(inputs.dtype), bias.to(inputs.dtype))
        return outputs
    num_taps = weight.shape[1]
    padded = functional.pad(rearrange(inputs, "batch time channels -> batch channels time"), (num_taps - 1, 0))
    convolved = functional.conv1d(padded, weight.unsqueeze(1), bias, groups=weight.shape[0])
    return functional.silu(rearrange(convolved, "batch channels time -> batch time channels"))


@torch.library.custom_op(
    "weldcache::causal_convolution",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor inputs, Tensor weight, Tensor bias) -> Tensor",
)
def _convolve(*arguments: Tensor) -> Tensor:
    from .causal_convolution_cpu import convolve  # here, because it imports numba, which takes a while

    return convolve(*arguments)


@torch.library.custom_op(
    "weldcache::causal_convolution_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor inputs, Tensor weight, Tensor bias, Tensor output_gradient) -> (Tensor, Tensor, Tensor)",
)
def _differentiate(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .causal_convolution_cpu import differentiate

    return differentiate(*arguments)


@_convolve.register_fake
def _describe_outputs(*arguments: Tensor) -> Tensor:
    return arguments[0].new_empty(arguments[0].shape)


@_differentiate.register_fake
def _describe_gradients(*arguments: Tensor) -> tuple[Tensor, ...]:
    return tuple(argument.new_empty(argument.shape) for argument in arguments[:3])


def _keep_for_backward(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    gradients: tuple[Tensor, Tensor, Tensor] = _differentiate(*ctx.saved_tensors, output_gradient)
    return gradients


_convolve.register_autograd(_backward, setup_context=_keep_for_backward)
