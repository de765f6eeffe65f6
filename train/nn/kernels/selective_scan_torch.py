"""The selective scan as torch operations: a parallel prefix scan over time, on any device, in any precision.

Slower on the CPU than the compiled kernel, but differentiable as it stands (twice, too), traceable and exact: no
logarithms and no division by vanishing decays, so that strong decays neither overflow nor lose digits.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def selective_scan_torch(
    inputs: Float[Tensor, "batch time channels"],
    step_logits: Float[Tensor, "batch time channels"],
    state_decay: Float[Tensor, "channels states"],
    input_weights: Float[Tensor, "batch time states"],
    output_weights: Float[Tensor, "batch time states"],
    skip_weights: Float[Tensor, " channels"],
    gate_logits: Float[Tensor, "batch time channels"],
) -> Float[Tensor, "batch time channels"]:
    """The recurrence of `selective_scan.selective_scan`; holds a few arrays of (batch, time, channels, states)."""
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
