"""The selective scan on CUDA: the fused kernel of mamba_ssm, which is an optional dependency."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec

from einops import rearrange
from jaxtyping import Float32
from torch import Tensor


@cache
def is_mamba_ssm_installed() -> bool:
    """Whether `selective_scan_cuda` can run; an installation that does not load is an error there, not passed over."""
    return find_spec("mamba_ssm") is not None


def selective_scan_cuda(
    inputs: Float32[Tensor, "batch time channels"],
    step_logits: Float32[Tensor, "batch time channels"],
    state_decay: Float32[Tensor, "channels states"],
    input_weights: Float32[Tensor, "batch time states"],
    output_weights: Float32[Tensor, "batch time states"],
    skip_weights: Float32[Tensor, " channels"],
    gate_logits: Float32[Tensor, "batch time channels"],
) -> Float32[Tensor, "batch time channels"]:
    """The recurrence of `selective_scan.selective_scan`; the fused kernel has time last."""
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
