"""Is the Mamba layer's scan on the CPU at least 40 times faster than the fallback in transformers?

One layer, forward and backward, at (batch 32, 256 channels, 128 steps, 16 states); both layers hold the same weights.
"""

import torch
from harness import measure_in_turns, ratio_of_medians, report
from torch import Tensor, nn
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from weldcache.train.nn.mamba import Mamba

OURS, THEIRS, OURS_EVAL = "weldcache, forward + backward", "transformers, forward + backward", "weldcache, eval"


def run_forward_and_backward(layer: nn.Module, sequence: Tensor) -> None:
    """One training step's worth of the layer, gradients of inputs and parameters included."""
    layer.zero_grad()
    layer(sequence.detach().requires_grad_()).sum().backward()


@torch.inference_mode()
def run_forward(layer: nn.Module, sequence: Tensor) -> None:
    """The layer as scoring runs it."""
    layer(sequence)


def main() -> None:
    """Measure and print."""
    theirs = MambaMixer(MambaConfig(hidden_size=128, state_size=16, conv_kernel=4, expand=2), layer_idx=0)
    ours = Mamba(128)
    ours.load_state_dict(theirs.state_dict())
    sequence = torch.randn(32, 128, 128, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(sequence), theirs(sequence), rtol=1e-5, atol=1e-5)
    seconds = measure_in_turns(
        {
            THEIRS: lambda: run_forward_and_backward(theirs, sequence),
            OURS: lambda: run_forward_and_backward(ours, sequence),
            OURS_EVAL: lambda: run_forward(ours, sequence),
        },
        num_rounds=5,
    )
    name = "forward_backward_vs_transformers"
    report(
        "selective_scan",
        seconds=seconds,
        ratios={name: ratio_of_medians(seconds, slow=THEIRS, fast=OURS)},
        targets={name: 40},
    )


if __name__ == "__main__":
    main()
