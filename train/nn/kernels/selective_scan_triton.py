"""The selective scan on CUDA: Triton kernels, forward and a hand-written backward in single precision.

The same scheme as on the CPU: a program takes some channels of one row through time with their states in registers;
forward keeps every 16th state, and backward replays the 16 steps from there, noting states in a scratch array that the
GPU's cache holds. Weights that channels share get a gradient from each program, summed afterwards in a fixed order, so
results do not differ from run to run.

The kernels are tested by Triton's interpreter on a CPU and compile for compute capability 9.0; they have not run on a
GPU yet.
"""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from .shared import CHECKPOINT_INTERVAL

_BLOCK_CHANNELS = 32  # of one program: enough programs for all processors of a GPU at a batch of 32


def scan(arguments: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """As `selective_scan_cpu.scan`."""
    tensors = [argument.contiguous() for argument in arguments]
    inputs, state_decay = tensors[0], tensors[2]
    (num_rows, num_steps, num_channels), num_states = inputs.shape, state_decay.shape[1]
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    outputs, ungated = torch.empty_like(inputs), torch.empty_like(inputs)
    # The shape that the operator describes; here they lie with the states of a channel side by side.
    checkpoints = inputs.new_empty((num_rows, num_checkpoints, num_states, num_channels))
    _scan_kernel[_grid(inputs)](
        *tensors, outputs, ungated, checkpoints, num_steps, num_channels, num_states, **_sizes(num_states)
    )
    return outputs, ungated, checkpoints


def differentiate(
    arguments: Sequence[Tensor], *, ungated: Tensor, checkpoints: Tensor, output_gradient: Tensor
) -> tuple[Tensor, ...]:
    """As `selective_scan_cpu_backward.differentiate`."""
    tensors = [argument.contiguous() for argument in arguments]
    inputs, state_decay, skip_weights = tensors[0], tensors[2], tensors[5]
    (num_rows, num_steps, num_channels), num_states = inputs.shape, state_decay.shape[1]
    grid = _grid(inputs)
    weights_shape = (grid[1], num_rows, num_steps, num_states)
    gradients = [
        torch.empty_like(inputs),
        torch.empty_like(inputs),
        inputs.new_empty((num_rows, *state_decay.shape)),
        inputs.new_empty(weights_shape),
        inputs.new_empty(weights_shape),
        inputs.new_empty((num_rows, *skip_weights.shape)),
        torch.empty_like(inputs),
    ]
    history = inputs.new_empty((num_rows, CHECKPOINT_INTERVAL, num_channels, num_states))
    _differentiate_kernel[grid](
        *tensors,
        ungated,
        checkpoints,
        output_gradient.contiguous(),
        *gradients,
        history,
        num_rows,
        num_steps,
        num_channels,
        num_states,
        **_sizes(num_states),
    )
    return tuple(
        gradient.sum(dim=0) if gradient.dim() > argument.dim() else gradient
        for gradient, argument in zip(gradients, arguments, strict=True)
    )


def _grid(inputs: Tensor) -> tuple[int, int]:
    return len(inputs), triton.cdiv(inputs.shape[2], _BLOCK_CHANNELS)


def _sizes(num_states: int) -> dict[str, int]:
    return {
        "INTERVAL": CHECKPOINT_INTERVAL,
        "CHANNELS": _BLOCK_CHANNELS,
        "STATES": triton.next_power_of_2(num_states),
        "num_warps": 2,
    }


@triton.jit  # type: ignore[untyped-decorator]
def _softplus(value: "tl.tensor") -> "tl.tensor":
    """As in `cpu_kernels.softplus`: the plain logarithm would round small step sizes away."""
    small = tl.exp(-tl.abs(value))
    ratio = small / (2.0 + small)
    square = ratio * ratio
    series = 0.14000858 + square * 0.14006244
    series = 0.20010766 + square * series
    series = 0.33333208 + square * series
    return 2.0 * ratio * (1.0 + square * series) + tl.maximum(value, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit  # type: ignore[untyped-decorator]
def _sigmoid(value: "tl.tensor") -> "tl.tensor":
    small = tl.exp(-tl.abs(value))
    return tl.where(value >= 0.0, 1.0, small) / (1.0 + small)


@triton.jit  # type: ignore[untyped-decorator]
def _scan_kernel(
    inputs: "tl.tensor",
    step_logits: "tl.tensor",
    state_decay: "tl.tensor",
    input_weights: "tl.tensor",
    output_weights: "tl.tensor",
    skip_weights: "tl.tensor",
    gate_logits: "tl.tensor",
    outputs: "tl.tensor",
    ungated: "tl.tensor",
    checkpoints: "tl.tensor",
    num_steps: "tl.tensor",
    num_channels: "tl.tensor",
    num_states: "tl.tensor",
    INTERVAL: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATES: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    state = tl.arange(0, STATES)
    has_channel, has_state = channel < num_channels, state < num_states
    of_both = channel[:, None] * num_states + state[None, :]
    has_both = has_channel[:, None] & has_state[None, :]
    num_checkpoints = tl.cdiv(num_steps, INTERVAL)

    decay_rates = tl.load(state_decay + of_both, mask=has_both, other=0.0)
    skips = tl.load(skip_weights + channel, mask=has_channel, other=0.0)
    states = tl.zeros((CHANNELS, STATES), tl.float32)
    for chunk in range(num_checkpoints):
        checkpoint = (row * num_checkpoints + chunk) * num_channels * num_states
        tl.store(checkpoints + checkpoint + of_both, states, mask=has_both)
        for time in range(chunk * INTERVAL, tl.minimum((chunk + 1) * INTERVAL, num_steps)):
            of_channels = (row * num_steps + time) * num_channels + channel
            of_states = (row * num_steps + time) * num_states + state
            x = tl.load(inputs + of_channels, mask=has_channel, other=0.0)
            steps = _softplus(tl.load(step_logits + of_channels, mask=has_channel, other=0.0))
            gates = tl.load(gate_logits + of_channels, mask=has_channel, other=0.0)
            b = tl.load(input_weights + of_states, mask=has_state, other=0.0)
            c = tl.load(output_weights + of_states, mask=has_state, other=0.0)
            states = tl.exp(steps[:, None] * decay_rates) * states + (steps * x)[:, None] * b[None, :]
            output = tl.sum(states * c[None, :], axis=1) + skips * x
            tl.store(ungated + of_channels, output, mask=has_channel)
            tl.store(outputs + of_channels, output * gates * _sigmoid(gates), mask=has_channel)


@triton.jit  # type: ignore[untyped-decorator]
def _differentiate_kernel(
    inputs: "tl.tensor",
    step_logits: "tl.tensor",
    state_decay: "tl.tensor",
    input_weights: "tl.tensor",
    output_weights: "tl.tensor",
    skip_weights: "tl.tensor",
    gate_logits: "tl.tensor",
    ungated: "tl.tensor",
    checkpoints: "tl.tensor",
    output_gradient: "tl.tensor",
    inputs_gradient: "tl.tensor",
    step_gradient: "tl.tensor",
    decay_gradient: "tl.tensor",
    input_weights_gradient: "tl.tensor",
    output_weights_gradient: "tl.tensor",
    skip_gradient: "tl.tensor",
    gate_gradient: "tl.tensor",
    history: "tl.tensor",
    num_rows: "tl.tensor",
    num_steps: "tl.tensor",
    num_channels: "tl.tensor",
    num_states: "tl.tensor",
    INTERVAL: tl.constexpr,
    CHANNELS: tl.constexpr,
    STATES: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    block = tl.program_id(1)
    channel = block * CHANNELS + tl.arange(0, CHANNELS)
    state = tl.arange(0, STATES)
    has_channel, has_state = channel < num_channels, state < num_states
    of_both = channel[:, None] * num_states + state[None, :]
    has_both = has_channel[:, None] & has_state[None, :]
    num_checkpoints = tl.cdiv(num_steps, INTERVAL)
    noted = history + row * INTERVAL * num_channels * num_states + of_both
    weights_offset = (block * num_rows + row) * num_steps * num_states

    decay_rates = tl.load(state_decay + of_both, mask=has_both, other=0.0)
    skips = tl.load(skip_weights + channel, mask=has_channel, other=0.0)
    carried = tl.zeros((CHANNELS, STATES), tl.float32)
    to_rates = tl.zeros((CHANNELS, STATES), tl.float32)
    to_skips = tl.zeros((CHANNELS,), tl.float32)
    for chunk_from_end in range(num_checkpoints):
        chunk = num_checkpoints - 1 - chunk_from_end
        begin, end = chunk * INTERVAL, tl.minimum((chunk + 1) * INTERVAL, num_steps)
        checkpoint = (row * num_checkpoints + chunk) * num_channels * num_states
        states = tl.load(checkpoints + checkpoint + of_both, mask=has_both, other=0.0)
        for time in range(begin, end):
            tl.store(noted + (time - begin) * num_channels * num_states, states, mask=has_both)
            of_channels = (row * num_steps + time) * num_channels + channel
            of_states = (row * num_steps + time) * num_states + state
            x = tl.load(inputs + of_channels, mask=has_channel, other=0.0)
            steps = _softplus(tl.load(step_logits + of_channels, mask=has_channel, other=0.0))
            b = tl.load(input_weights + of_states, mask=has_state, other=0.0)
            states = tl.exp(steps[:, None] * decay_rates) * states + (steps * x)[:, None] * b[None, :]
        tl.debug_barrier()  # what was noted is read back, maybe by another thread of the program
        for time_from_end in range(end - begin):
            time = end - 1 - time_from_end
            of_channels = (row * num_steps + time) * num_channels + channel
            of_states = (row * num_steps + time) * num_states + state
            x = tl.load(inputs + of_channels, mask=has_channel, other=0.0)
            logits = tl.load(step_logits + of_channels, mask=has_channel, other=0.0)
            gates = tl.load(gate_logits + of_channels, mask=has_channel, other=0.0)
            gated_gradient = tl.load(output_gradient + of_channels, mask=has_channel, other=0.0)
            output = tl.load(ungated + of_channels, mask=has_channel, other=0.0)
            b = tl.load(input_weights + of_states, mask=has_state, other=0.0)
            c = tl.load(output_weights + of_states, mask=has_state, other=0.0)
            before = tl.load(noted + (time - begin) * num_channels * num_states, mask=has_both, other=0.0)
            steps, gate_shares = _softplus(logits), _sigmoid(gates)
            drive = steps * x
            decay = tl.exp(steps[:, None] * decay_rates)
            after = decay * before + drive[:, None] * b[None, :]
            gradient = gated_gradient * gates * gate_shares
            to_gates = gated_gradient * output * gate_shares * (1.0 + gates * (1.0 - gate_shares))
            tl.store(gate_gradient + of_channels, to_gates, mask=has_channel)
            to_output_weights = tl.sum(gradient[:, None] * after, axis=0)
            tl.store(output_weights_gradient + weights_offset + time * num_states + state, to_output_weights, has_state)
            carried += gradient[:, None] * c[None, :]
            to_input_weights = tl.sum(carried * drive[:, None], axis=0)
            tl.store(input_weights_gradient + weights_offset + time * num_states + state, to_input_weights, has_state)
            to_drive = tl.sum(carried * b[None, :], axis=1)
            carried *= decay
            to_exponent = carried * before
            to_rates += to_exponent * steps[:, None]
            to_steps = x * to_drive + tl.sum(to_exponent * decay_rates, axis=1)
            tl.store(step_gradient + of_channels, to_steps * _sigmoid(logits), mask=has_channel)
            tl.store(inputs_gradient + of_channels, skips * gradient + steps * to_drive, mask=has_channel)
            to_skips += gradient * x
        tl.debug_barrier()  # before the next chunk writes over it
    tl.store(decay_gradient + row * num_channels * num_states + of_both, to_rates, mask=has_both)
    tl.store(skip_gradient + row * num_channels + channel, to_skips, mask=has_channel)
