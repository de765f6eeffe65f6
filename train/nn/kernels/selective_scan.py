"""The selective scan of a state space model: one differentiable function, with a kernel for each kind of device."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .selective_scan_cuda import is_mamba_ssm_installed, selective_scan_cuda
from .selective_scan_fused import selective_scan_fused
from .selective_scan_torch import selective_scan_torch
from .triton_presence import is_triton_installed


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
        if device_type == "cuda" and is_mamba_ssm_installed():
            return selective_scan_cuda
        if device_type == "cuda" and is_triton_installed():
            return selective_scan_fused
    return selective_scan_torch
