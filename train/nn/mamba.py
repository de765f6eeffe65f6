"""The Mamba layer: a selective state space model over a sequence (Gu and Dao 2023, arXiv:2312.00752, section 3).

Its short causal convolution, with the activation, is one differentiable function with a kernel for the CPU.
"""

import math
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from .kernels.selective_scan import selective_scan
from .kernels.shared import each_alone, has_kernel

_SMALLEST_STEP, _LARGEST_STEP = 1e-3, 1e-1  # step sizes at the start are log-uniform between these


class Mamba(nn.Module):
    """Causal sequence layer, (batch, time, d_model) to the same shape.

    Parameters carry the names, shapes and starting values of `mamba_ssm.Mamba(d_model, d_state, d_conv, expand)`, so
    weights move between the two in both directions.
    """

    def __init__(self, d_model: int, *, d_state: int = 16, d_conv: int = 4, expand: int = 2) -> None:
        super().__init__()
        d_inner = expand * d_model
        self.d_state = d_state
        self.dt_rank = math.ceil(d_model / 16)
        self.in_proj = nn.Linear(d_model, 2 * d_inner, bias=False)
        self.conv1d = nn.Conv1d(d_inner, d_inner, d_conv, groups=d_inner, padding=d_conv - 1)
        self.x_proj = nn.Linear(d_inner, self.dt_rank + 2 * d_state, bias=False)
        self.dt_proj = nn.Linear(self.dt_rank, d_inner)
        self.A_log = nn.Parameter(torch.arange(1, d_state + 1, dtype=torch.float32).log().repeat(d_inner, 1))
        self.D = nn.Parameter(torch.ones(d_inner))
        self.out_proj = nn.Linear(d_inner, d_model, bias=False)
        self._reset_step_projection()

    @torch.no_grad()
    def _reset_step_projection(self) -> None:
        """Start with step sizes that are log-uniform over channels, and a projection that keeps their variance."""
        nn.init.uniform_(self.dt_proj.weight, -(self.dt_rank**-0.5), self.dt_rank**-0.5)
        low, high = math.log(_SMALLEST_STEP), math.log(_LARGEST_STEP)
        step_sizes = torch.exp(torch.empty_like(self.dt_proj.bias).uniform_(low, high))
        # The inverse of softplus, written so that small step sizes keep their digits.
        self.dt_proj.bias.copy_(step_sizes + torch.log(-torch.expm1(-step_sizes)))

    def forward(self, sequence: Float[Tensor, "batch time d_model"]) -> Float[Tensor, "batch time d_model"]:
        """Each output step sees its own and all earlier steps, never a later one."""
        inputs_weight, gate_weight = self.in_proj.weight.chunk(2)
        assert self.conv1d.bias is not None
        inputs = causal_convolution(
            functional.linear(sequence, inputs_weight), weight=self.conv1d.weight.squeeze(1), bias=self.conv1d.bias
        )
        step_features, input_weights, output_weights = self.x_proj(inputs).split(
            [self.dt_rank, self.d_state, self.d_state], dim=-1
        )
        outputs = selective_scan(
            inputs,
            step_logits=self.dt_proj(step_features),
            state_decay=-torch.exp(self.A_log),
            input_weights=input_weights,
            output_weights=output_weights,
            skip_weights=self.D,
            gate_logits=functional.linear(sequence, gate_weight),
        )
        projected: Tensor = self.out_proj(outputs)
        return projected


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
    from .kernels.causal_convolution_cpu import convolve  # here, because it imports numba, which takes a while

    return convolve(*arguments)


@torch.library.custom_op(
    "weldcache::causal_convolution_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor inputs, Tensor weight, Tensor bias, Tensor output_gradient) -> (Tensor, Tensor, Tensor)",
)
def _differentiate(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .kernels.causal_convolution_cpu import differentiate

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


@_convolve.register_vmap
def _convolve_stacked(info: Any, in_dims: tuple[int | None, ...], *arguments: Tensor) -> tuple[Tensor, int]:
    """Of stacked models each by itself."""
    outputs, _ = each_alone(lambda *one: (_convolve(*one),), info, in_dims, *arguments)
    return outputs[0], 0
