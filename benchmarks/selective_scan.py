"""Is the Mamba layer on the CPU at least 100 times faster than the fallback in transformers, and how far can it go?

One layer, forward and backward, at (batch 32, 256 channels, 128 steps, 16 states); both layers hold the same weights.
Beside the ratio the time over two floors: the layer's arithmetic at the measured rates (matrix products; the scan's
own operations as multiply-adds), and the bytes that pass between its parts at the measured bandwidth of a copy.
"""

import statistics

import torch
from floors import count_flops, measure_rates
from harness import measure_in_turns, ratio_of_medians, report
from torch import Tensor, nn
from transformers import MambaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer

from weldcache.train.nn.mamba import Mamba

OURS, THEIRS, OURS_EVAL = "weldcache, forward + backward", "transformers, forward + backward", "weldcache, eval"
RATIO, ARITHMETIC, MEMORY = "forward_backward_vs_transformers", "over_arithmetic_floor", "over_memory_floor"
BATCH, STEPS, WIDTH, CHANNELS, STATES = 32, 128, 128, 256, 16

# Of a state at a step, a multiply-add counted as two: forward 22 (16 of them the exponential), backward the same once
# more, for the states are replayed, and 12.
SCAN_FLOPS = 56
# Of arrays (batch, time, channels): the inputs, convolved inputs, step sizes, gates, outputs before the gate and after
# it are written once and read twice, on the way there and back; gradients of all but one are written and read.
ARRAY_PASSES = 6 * 3 + 5 * 2


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
    config = MambaConfig(hidden_size=WIDTH, state_size=STATES, conv_kernel=4, expand=CHANNELS // WIDTH)
    theirs = MambaMixer(config, layer_idx=0)
    ours = Mamba(WIDTH, d_state=STATES, expand=CHANNELS // WIDTH)
    ours.load_state_dict(theirs.state_dict())
    sequence = torch.randn(BATCH, STEPS, WIDTH, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(sequence), theirs(sequence), rtol=1e-5, atol=1e-5)
    rates = measure_rates(sequence.device)
    print(rates)
    seconds = measure_in_turns(
        {
            THEIRS: lambda: run_forward_and_backward(theirs, sequence),
            OURS: lambda: run_forward_and_backward(ours, sequence),
            OURS_EVAL: lambda: run_forward(ours, sequence),
        },
        num_rounds=5,
    )
    places = BATCH * STEPS * CHANNELS
    arithmetic = rates.floor(
        gemm_flops=count_flops(lambda: run_forward_and_backward(ours, sequence)),
        vector_flops=SCAN_FLOPS * places * STATES,
    )
    memory = rates.floor(num_bytes=ARRAY_PASSES * places * 4)
    median = statistics.median(seconds[OURS])
    print(f"floors: arithmetic {arithmetic * 1e3:.1f} ms, memory {memory * 1e3:.1f} ms")
    report(
        "selective_scan",
        seconds=seconds,
        ratios={
            RATIO: ratio_of_medians(seconds, slow=THEIRS, fast=OURS),
            ARITHMETIC: median / arithmetic,
            MEMORY: median / memory,
        },
        targets={RATIO: 100},
    )


if __name__ == "__main__":
    main()
