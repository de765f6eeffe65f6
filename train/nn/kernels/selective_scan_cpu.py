"""The selective scan on the CPU in single precision: compiled kernels, and what the way back shares with them.

What the scan does to a channel at a time, softplus of its step size and the gate, happens on the way, so that nothing
but the scan's arguments and results passes through memory. Channels go through in blocks whose states stay in the
processor's nearest cache. Forward keeps only every 16th state; backward replays the states between from there, which is
cheaper than fetching them from memory, and then goes back over them while they, and the decays, are in the next cache.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .cpu_kernels import LOG2_E, Array, compiled, compiled_part, power_of_two, share_out_rows, sigmoid, softplus
from .shared import CHECKPOINT_INTERVAL

BLOCK = 128  # channels at a time
_ZERO, _ONE = np.float32(0), np.float32(1)

# Rows of the arrays that the kernels work on, each of them a block of channels.
STEP, DRIVE, SKIPPED = range(3)  # of one time: Δ, Δ x, output (on the way back its gradient)
RATE, STATE = range(2)  # of one state: A in units of ln 2, h


class ScanArrays(NamedTuple):
    """What a scan reads: float32, C-contiguous, with channels last."""

    inputs: Array  # (batch, time, channels)
    step_logits: Array  # (batch, time, channels)
    state_decay: Array  # (states, channels)
    input_weights: Array  # (batch, time, states)
    output_weights: Array  # (batch, time, states)
    skip_weights: Array  # (channels,)
    gate_logits: Array  # (batch, time, channels)


class ScanResults(NamedTuple):
    """What a scan writes: its outputs, and what the way back starts from."""

    outputs: Array  # (batch, time, channels)
    ungated: Array  # (batch, time, channels)
    checkpoints: Array  # (batch, checkpoints, states, channels): the states before every 16th step


def scan(arguments: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, and what `differentiate` starts from; arguments as in `ScanArrays`, but the decay channels first."""
    arrays = as_arrays(arguments)
    num_rows, num_steps, num_channels = arrays.inputs.shape
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    results = ScanResults(
        outputs=np.empty_like(arrays.inputs),
        ungated=np.empty_like(arrays.inputs),
        checkpoints=np.empty((num_rows, num_checkpoints, len(arrays.state_decay), num_channels), np.float32),
    )
    share_out_rows(lambda first, last: scan_rows(first, last, arrays, results), num_rows=num_rows)
    outputs, ungated, checkpoints = (torch.from_numpy(result) for result in results)
    return outputs, ungated, checkpoints


def as_arrays(arguments: Sequence[Tensor]) -> ScanArrays:
    """The arguments as the kernels read them."""
    inputs, step_logits, state_decay, *others = arguments
    tensors = (inputs, step_logits, state_decay.T, *others)
    return ScanArrays(*(tensor.detach().contiguous().numpy() for tensor in tensors))


@compiled
def scan_rows(first: int, last: int, arrays: ScanArrays, results: ScanResults) -> None:
    """Scan the rows `first` to `last - 1` of the batch."""
    num_states, num_channels = arrays.state_decay.shape
    states = np.empty((num_states, 2, BLOCK), np.float32)
    work = np.empty((3, BLOCK), np.float32)
    for row in range(first, last):
        for start in range(0, num_channels, BLOCK):
            _scan_block(row, start, min(BLOCK, num_channels - start), arrays, results, states, work)


@compiled_part
def _scan_block(
    row: int, start: int, width: int, arrays: ScanArrays, results: ScanResults, states: Array, work: Array
) -> None:
    """Scan the channels from `start` on of one row."""
    for n in range(states.shape[0]):
        rates = arrays.state_decay[n][start : start + width]
        for i in range(width):
            states[n, RATE, i] = rates[i] * LOG2_E
            states[n, STATE, i] = _ZERO
    skip_weights = arrays.skip_weights[start : start + width]
    for time in range(arrays.inputs.shape[1]):
        if time % CHECKPOINT_INTERVAL == 0:
            _copy_states(results.checkpoints[row, time // CHECKPOINT_INTERVAL], start, width, states)
        inputs = arrays.inputs[row, time][start : start + width]
        step_logits = arrays.step_logits[row, time][start : start + width]
        for i in range(width):
            step_size = softplus(step_logits[i])
            work[STEP, i] = step_size
            work[DRIVE, i] = step_size * inputs[i]
            work[SKIPPED, i] = skip_weights[i] * inputs[i]
        for n in range(states.shape[0]):
            input_weight, output_weight = arrays.input_weights[row, time, n], arrays.output_weights[row, time, n]
            for i in range(width):
                decay = power_of_two(work[STEP, i] * states[n, RATE, i])
                state = decay * states[n, STATE, i] + work[DRIVE, i] * input_weight
                states[n, STATE, i] = state
                work[SKIPPED, i] += output_weight * state
        gate_logits = arrays.gate_logits[row, time][start : start + width]
        ungated = results.ungated[row, time][start : start + width]
        outputs = results.outputs[row, time][start : start + width]
        for i in range(width):
            output = work[SKIPPED, i]
            ungated[i] = output
            outputs[i] = output * gate_logits[i] * sigmoid(gate_logits[i])


@compiled_part
def _copy_states(checkpoint: Array, start: int, width: int, states: Array) -> None:
    for n in range(states.shape[0]):
        kept = checkpoint[n][start : start + width]
        for i in range(width):
            kept[i] = states[n, STATE, i]
