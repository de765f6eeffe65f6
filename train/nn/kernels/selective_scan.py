"""The selective scan of a state space model: one differentiable function, with a kernel for each kind of device.

Our own kernels are two operators of torch, forward and backward, because torch.compile then takes them as they are
instead of looking into them.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float, Float32
from torch import Tensor
from torch.nn import functional

from .shared import CHECKPOINT_INTERVAL, each_alone, is_installed

_ARGUMENTS = (
    "Tensor inputs, Tensor step_logits, Tensor state_decay, Tensor input_weights, Tensor output_weights, "
    "Tensor skip_weights, Tensor gate_logits"
)
_NUM_ARGUMENTS = 7
_GRADIENTS = ", ".join(["Tensor"] * _NUM_ARGUMENTS)


def selective_scan(
    inputs: Float[Tensor, "batch time channels"],
    *,
    step_logits: Float[Tensor, "batch time channels"],
    state_decay: Float[Tensor, "channels states"],
    input_weights: Float[Tensor, "batch time states"],
    output_weights: Float[Tensor, "batch time states"],
    skip_weights: Float[Tensor, " channels"],
    gate_logits: Float[Tensor, "batch time channels"],
) -> Float[Tensor, "batch time channels"]:
    """Run a linear recurrence per channel whose step size, input and output weights change with time; gate its output.

    With x the inputs, Δ = softplus(step logits), A < 0 the decay, B, C and D the input, output and skip weights, z the
    gate logits, and the states h starting from zero (Gu and Dao 2023, arXiv:2312.00752, algorithm 2 and figure 3):

        h[t] = exp(Δ[t] A) h[t-1] + Δ[t] B[t] x[t]
        y[t] = (C[t] h[t] + D x[t]) silu(z[t])

    Half precision is computed in float32 and returned as it came. On the CPU compiled kernels run, on CUDA those of
    mamba_ssm where it is installed, or else our own where Triton is, which comes with torch there; otherwise (other
    devices, float64, programs for export) `selective_scan_torch`.
    """
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    arguments = (inputs, step_logits, state_decay, input_weights, output_weights, skip_weights, gate_logits)
    scan = _choose_scan(inputs.device.type, dtype=dtype)
    return scan(*(argument.to(dtype) for argument in arguments)).to(inputs.dtype)


def _choose_scan(device_type: str, *, dtype: torch.dtype) -> Callable[..., Tensor]:
    if dtype == torch.float32 and not torch.compiler.is_exporting():
        if device_type == "cpu":
            return selective_scan_fused
        if device_type == "cuda" and is_installed("mamba_ssm"):
            return selective_scan_cuda
        if device_type == "cuda" and is_installed("triton"):
            return selective_scan_fused
    return selective_scan_torch


def selective_scan_fused(*arguments: Tensor) -> Tensor:
    """The recurrence in float32 by our own kernels, on the CPU or CUDA; differentiable once."""
    outputs: Tensor = _scan(*arguments)[0]
    return outputs


@torch.library.custom_op(
    "weldcache::selective_scan",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_ARGUMENTS}) -> (Tensor, Tensor, Tensor)",
)
def _scan(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .selective_scan_cpu import scan  # here, because numba takes a while to import, and Triton may be absent

    return scan(arguments)


@_scan.register_kernel("cuda")
def _scan_on_cuda(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    from .selective_scan_triton import scan

    return scan(arguments)


@torch.library.custom_op(
    "weldcache::selective_scan_backward",
    mutates_args=(),
    device_types="cpu",
    schema=f"({_ARGUMENTS}, Tensor ungated, Tensor checkpoints, Tensor output_gradient) -> ({_GRADIENTS})",
)
def _differentiate(*tensors: Tensor) -> tuple[Tensor, ...]:
    from .selective_scan_cpu_backward import differentiate

    *arguments, ungated, checkpoints, output_gradient = tensors
    return differentiate(arguments, ungated=ungated, checkpoints=checkpoints, output_gradient=output_gradient)


@_differentiate.register_kernel("cuda")
def _differentiate_on_cuda(*tensors: Tensor) -> tuple[Tensor, ...]:
    from .selective_scan_triton import differentiate

    *arguments, ungated, checkpoints, output_gradient = tensors
    return differentiate(arguments, ungated=ungated, checkpoints=checkpoints, output_gradient=output_gradient)


@_scan.register_fake
def _describe_scan(*arguments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    inputs, state_decay = arguments[0], arguments[2]
    num_rows, num_steps, num_channels = inputs.shape
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    checkpoints = inputs.new_empty((num_rows, num_checkpoints, state_decay.shape[1], num_channels))
    return inputs.new_empty(inputs.shape), inputs.new_empty(inputs.shape), checkpoints


@_differentiate.register_fake
def _describe_gradients(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in tensors[:_NUM_ARGUMENTS])


def _keep_for_backward(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, *output[1:])
    ctx.set_materialize_grads(False)  # or zeros are made for the two outputs that are kept for backward alone


def _backward(ctx: Any, output_gradient: Tensor, *unused: None) -> tuple[Tensor, ...]:
    gradients: tuple[Tensor, ...] = _differentiate(*ctx.saved_tensors, output_gradient)
    return gradients


_scan.register_autograd(_backward, setup_context=_keep_for_backward)
_scan.register_vmap(partial(each_alone, _scan))


def selective_scan_torch(
    inputs: Float[Tensor, "batch time channels"],
    step_logits: Float[Tensor, "batch time channels"],
    state_decay: Float[Tensor, "channels states"],
    input_weights: Float[Tensor, "batch time states"],
    output_weights: Float[Tensor, "batch time states"],
    skip_weights: Float[Tensor, " channels"],
    gate_logits: Float[Tensor, "batch time channels"],
) -> Float[Tensor, "batch time channels"]:
    """The recurrence by torch's operations, a parallel prefix scan over time; on any device, in any precision.

    Slower on the CPU than the compiled kernel, but differentiable as it stands (twice, too), traceable and exact: no
    logarithms and no division by vanishing decays, so that strong decays neither overflow nor lose digits. Holds a few
    arrays of (batch, time, channels, states).
    """
    step_sizes = functional.softplus(step_logits)
    decay = torch.exp(step_sizes.unsqueeze(-1) * state_decay)
    drive = (step_sizes * inputs).unsqueeze(-1) * input_weights.unsqueeze(2)
    states = linear_recurrence(decay, drive=drive)
    # A product and a sum, not a matrix product: that would run in half precision under autocast.
    outputs = (states * output_weights.unsqueeze(2)).sum(dim=-1) + skip_weights * inputs
    return outputs * functional.silu(gate_logits)


def linear_recurrence(
    decay: Float[Tensor, "batch time *rest"], *, drive: Float[Tensor, "batch time *rest"]
) -> Float[Tensor, "batch time *rest"]:
    """All states of `h[t] = decay[t] * h[t-1] + drive[t]` from `h[-1] = 0`.

    Odd-even reduction (Blelloch, Prefix Sums and Their Applications, 1990): two neighbouring steps make one step of
    a sequence half as long, whose states are the wanted ones at odd times; one more step gives those at even times.
    Work is linear in time, depth logarithmic.
    """
    if decay.shape[1] == 1:
        return drive
    even_decay, odd_decay = decay[:, 0::2], decay[:, 1::2]
    even_drive, odd_drive = drive[:, 0::2], drive[:, 1::2]
    num_pairs = odd_decay.shape[1]
    odd_states = linear_recurrence(
        odd_decay * even_decay[:, :num_pairs], drive=odd_decay * even_drive[:, :num_pairs] + odd_drive
    )
    later_even_states = even_decay[:, 1:] * odd_states[:, : even_decay.shape[1] - 1] + even_drive[:, 1:]
    even_states = torch.cat((even_drive[:, :1], later_even_states), dim=1)
    paired = torch.stack((even_states[:, :num_pairs], odd_states), dim=2).flatten(1, 2)
    return torch.cat((paired, even_states[:, num_pairs:]), dim=1)


def selective_scan_cuda(
    inputs: Float32[Tensor, "batch time channels"],
    step_logits: Float32[Tensor, "batch time channels"],
    state_decay: Float32[Tensor, "channels states"],
    input_weights: Float32[Tensor, "batch time states"],
    output_weights: Float32[Tensor, "batch time states"],
    skip_weights: Float32[Tensor, " channels"],
    gate_logits: Float32[Tensor, "batch time channels"],
) -> Float32[Tensor, "batch time channels"]:
    """The recurrence by the fused kernel of mamba_ssm, which has time last.

    An installation that does not load is an error here, not passed over.
    """
    fused_scan = import_module("mamba_ssm.ops.selective_scan_interface").selective_scan_fn
    outputs: Tensor = fused_scan(
        rearrange(inputs, "batch time channels -> batch channels time"),
        rearrange(step_logits, "batch time channels -> batch channels time"),
        state_decay,
        rearrange(input_weights, "batch time states -> batch states time"),
        rearrange(output_weights, "batch time states -> batch states time"),
        skip_weights,
        z=rearrange(gate_logits, "batch time channels -> batch channels time"),
        delta_softplus=True,
    )
    return rearrange(outputs, "batch channels time -> batch time channels")
