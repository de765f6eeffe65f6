"""The selective scan of a state space model: one differentiable function, with a kernel for each kind of device."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .selective_scan_cuda import is_mamba_ssm_installed, selective_scan_cuda
from .selective_scan_torch import selective_scan_torch


def selective_scan(
    inputs: Float[Tensor, "batch time channels"],
    *,
    step_sizes: Float[Tensor, "batch time channels"],
    state_decay: Float[Tensor, "channels states"],
    input_weights: Float[Tensor, "batch time states"],
    output_weights: Float[Tensor, "batch time states"],
    skip_weights: Float[Tensor, " channels"],
) -> Float[Tensor, "batch time channels"]:
    """Run a linear recurrence per channel whose step size, input and output weights change with time.

    With x the inputs, Δ > 0 the step sizes, A < 0 the decay, B, C and D the input, output and skip weights, and the
    states h starting from zero (Gu and Dao 2023, arXiv:2312.00752, algorithm 2):

        h[t] = exp(Δ[t] A) h[t-1] + Δ[t] B[t] x[t]
        y[t] = C[t] h[t] + D x[t]

    Half precision is computed in float32 and returned as it came. On the CPU the kernel in `selective_scan_cpu` runs,
    on CUDA that of mamba_ssm where it is installed, otherwise (other devices, float64, while a graph is traced or
    compiled) `selective_scan_torch`.
    """
    dtype = torch.promote_types(inputs.dtype, torch.float32)
    scan = _choose_scan(inputs.device.type, dtype=dtype)
    outputs = scan(
        inputs.to(dtype),
        step_sizes=step_sizes.to(dtype),
        state_decay=state_decay.to(dtype),
        input_weights=input_weights.to(dtype),
        output_weights=output_weights.to(dtype),
        skip_weights=skip_weights.to(dtype),
    )
    return outputs.to(inputs.dtype)


def _choose_scan(device_type: str, *, dtype: torch.dtype) -> Callable[..., Tensor]:
    if dtype == torch.float32 and not torch.compiler.is_compiling():
        if device_type == "cpu":
            from .selective_scan_cpu import selective_scan_cpu  # here, because it imports numba, which takes a while

            return selective_scan_cpu
        if device_type == "cuda" and is_mamba_ssm_installed():
            return selective_scan_cuda
    return selective_scan_torch
