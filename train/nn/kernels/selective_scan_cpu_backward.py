"""The way back through the selective scan on the CPU: a hand-written gradient in single precision.

From every 16th state, which the way forward keeps, the states between are replayed, and then gone back over.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .cpu_kernels import LN_2, LOG2_E, Array, compiled, compiled_part, power_of_two, share_out_rows, sigmoid, softplus
from .selective_scan_cpu import BLOCK, DRIVE, RATE, SKIPPED, STATE, STEP, ScanArrays, ScanResults, as_arrays
from .shared import CHECKPOINT_INTERVAL

_ZERO, _ONE = np.float32(0), np.float32(1)

# Further rows of the arrays that the kernels work on.
_STEP_SLOPE, _INPUT = range(3, 5)  # of one time: dΔ/dlogit, x
_CARRIED, _RATE_GRADIENT = range(2, 4)  # of one state: gradient of h, of the rate
_BEFORE, _DECAY = range(2)  # of one state at one time: h before the step, and what it is multiplied by
_TO_DRIVE, _TO_STEP = range(2)  # gradients that gather over states


class ScanGradients(NamedTuple):
    """Gradients of `ScanArrays` in the same order; the two that the whole batch shares are kept apart for each row."""

    inputs: Array
    step_logits: Array
    state_decay: Array  # (batch, states, channels)
    input_weights: Array
    output_weights: Array
    skip_weights: Array  # (batch, channels)
    gate_logits: Array


def differentiate(
    arguments: Sequence[Tensor], *, ungated: Tensor, checkpoints: Tensor, output_gradient: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the arguments of `scan`, given that of its outputs; shared ones are summed in the order of rows."""
    arrays = as_arrays(arguments)
    num_rows = len(arrays.inputs)
    incoming = output_gradient.contiguous().numpy()
    results = ScanResults(outputs=incoming, ungated=ungated.numpy(), checkpoints=checkpoints.numpy())
    gradients = ScanGradients(
        inputs=np.empty_like(arrays.inputs),
        step_logits=np.empty_like(arrays.inputs),
        state_decay=np.empty((num_rows, *arrays.state_decay.shape), np.float32),
        input_weights=np.empty_like(arrays.input_weights),
        output_weights=np.empty_like(arrays.output_weights),
        skip_weights=np.empty((num_rows, *arrays.skip_weights.shape), np.float32),
        gate_logits=np.empty_like(arrays.inputs),
    )
    share_out_rows(
        lambda first, last: differentiate_rows(first, last, arrays, results, incoming, gradients), num_rows=num_rows
    )
    summed = gradients._replace(
        state_decay=np.ascontiguousarray(gradients.state_decay.sum(axis=0).T),
        skip_weights=gradients.skip_weights.sum(axis=0),
    )
    return tuple(torch.from_numpy(gradient) for gradient in summed)


@compiled
def differentiate_rows(
    first: int, last: int, arrays: ScanArrays, results: ScanResults, output_gradient: Array, gradients: ScanGradients
) -> None:
    """Go back through the rows `first` to `last - 1`, given the gradient of the outputs (batch, time, channels)."""
    num_states, num_channels = arrays.state_decay.shape
    states = np.empty((num_states, 4, BLOCK), np.float32)
    history = np.empty((CHECKPOINT_INTERVAL, num_states, 2, BLOCK), np.float32)
    work = np.empty((CHECKPOINT_INTERVAL, 5, BLOCK), np.float32)
    gathered = np.empty((2, BLOCK), np.float32)
    for row in range(first, last):
        gradients.input_weights[row] = _ZERO
        gradients.output_weights[row] = _ZERO
        for start in range(0, num_channels, BLOCK):
            width = min(BLOCK, num_channels - start)
            _start_states(start, width, arrays, states)
            gradients.skip_weights[row][start : start + width] = _ZERO
            for chunk in range(results.checkpoints.shape[1] - 1, -1, -1):
                _load_states(results.checkpoints[row, chunk], start, width, states)
                begin = chunk * CHECKPOINT_INTERVAL
                end = min(begin + CHECKPOINT_INTERVAL, arrays.inputs.shape[1])
                for time in range(begin, end):
                    _prepare_step(row, time, start, width, arrays, output_gradient, work[time - begin])
                    _replay_step(row, time, width, arrays, gradients, states, history[time - begin], work[time - begin])
                for time in range(end - 1, begin - 1, -1):
                    _reverse_step(
                        row, time, width, arrays, gradients, states, history[time - begin], work[time - begin], gathered
                    )
                    _finish_step(row, time, start, width, arrays, gradients, work[time - begin], gathered)
                    _reverse_gate(row, time, start, width, arrays, results, output_gradient, gradients)
            for n in range(num_states):
                gradient = gradients.state_decay[row, n][start : start + width]
                for i in range(width):
                    gradient[i] = states[n, _RATE_GRADIENT, i]


@compiled_part
def _start_states(start: int, width: int, arrays: ScanArrays, states: Array) -> None:
    for n in range(states.shape[0]):
        rates = arrays.state_decay[n][start : start + width]
        for i in range(width):
            states[n, RATE, i] = rates[i] * LOG2_E
            states[n, _CARRIED, i] = _ZERO
            states[n, _RATE_GRADIENT, i] = _ZERO


@compiled_part
def _load_states(checkpoint: Array, start: int, width: int, states: Array) -> None:
    for n in range(states.shape[0]):
        kept = checkpoint[n][start : start + width]
        for i in range(width):
            states[n, STATE, i] = kept[i]


@compiled_part
def _prepare_step(
    row: int, time: int, start: int, width: int, arrays: ScanArrays, output_gradient: Array, work: Array
) -> None:
    """What a step needs beside its states; the gradient of the ungated outputs among it."""
    inputs = arrays.inputs[row, time][start : start + width]
    step_logits = arrays.step_logits[row, time][start : start + width]
    gate_logits = arrays.gate_logits[row, time][start : start + width]
    gated_gradient = output_gradient[row, time][start : start + width]
    for i in range(width):
        step_size = softplus(step_logits[i])
        work[STEP, i] = step_size
        work[DRIVE, i] = step_size * inputs[i]
        work[_STEP_SLOPE, i] = sigmoid(step_logits[i])
        work[SKIPPED, i] = gated_gradient[i] * gate_logits[i] * sigmoid(gate_logits[i])
        work[_INPUT, i] = inputs[i]


@compiled_part
def _replay_step(
    row: int,
    time: int,
    width: int,
    arrays: ScanArrays,
    gradients: ScanGradients,
    states: Array,
    history: Array,
    work: Array,
) -> None:
    """Take the states one step on again, and note what the way back asks for."""
    for n in range(states.shape[0]):
        input_weight, weight_gradient = arrays.input_weights[row, time, n], _ZERO
        for i in range(width):
            decay = power_of_two(work[STEP, i] * states[n, RATE, i])
            before = states[n, STATE, i]
            history[n, _BEFORE, i] = before
            history[n, _DECAY, i] = decay
            after = decay * before + work[DRIVE, i] * input_weight
            states[n, STATE, i] = after
            weight_gradient += work[SKIPPED, i] * after
        gradients.output_weights[row, time, n] += weight_gradient


@compiled_part
def _reverse_step(
    row: int,
    time: int,
    width: int,
    arrays: ScanArrays,
    gradients: ScanGradients,
    states: Array,
    history: Array,
    work: Array,
    gathered: Array,
) -> None:
    """Take the gradient of the states one step back; that of the rates stays in units of 1 / ln 2."""
    for i in range(width):
        gathered[_TO_DRIVE, i] = _ZERO
        gathered[_TO_STEP, i] = _ZERO
    for n in range(states.shape[0]):
        input_weight, output_weight = arrays.input_weights[row, time, n], arrays.output_weights[row, time, n]
        weight_gradient = _ZERO
        for i in range(width):
            gradient = states[n, _CARRIED, i] + work[SKIPPED, i] * output_weight
            weight_gradient += gradient * work[DRIVE, i]
            gathered[_TO_DRIVE, i] += gradient * input_weight
            gradient *= history[n, _DECAY, i]
            states[n, _CARRIED, i] = gradient
            gradient *= history[n, _BEFORE, i]
            states[n, _RATE_GRADIENT, i] += gradient * work[STEP, i]
            gathered[_TO_STEP, i] += gradient * states[n, RATE, i]
        gradients.input_weights[row, time, n] += weight_gradient


@compiled_part
def _finish_step(
    row: int,
    time: int,
    start: int,
    width: int,
    arrays: ScanArrays,
    gradients: ScanGradients,
    work: Array,
    gathered: Array,
) -> None:
    """From what gathered over the states to the gradients of a step's inputs."""
    skip_weights = arrays.skip_weights[start : start + width]
    inputs = gradients.inputs[row, time][start : start + width]
    step_logits = gradients.step_logits[row, time][start : start + width]
    for i in range(width):
        to_drive = gathered[_TO_DRIVE, i]
        inputs[i] = skip_weights[i] * work[SKIPPED, i] + work[STEP, i] * to_drive
        step_logits[i] = (work[_INPUT, i] * to_drive + LN_2 * gathered[_TO_STEP, i]) * work[_STEP_SLOPE, i]
    skip_gradient = gradients.skip_weights[row][start : start + width]
    for i in range(width):
        skip_gradient[i] += work[SKIPPED, i] * work[_INPUT, i]


@compiled_part
def _reverse_gate(
    row: int,
    time: int,
    start: int,
    width: int,
    arrays: ScanArrays,
    results: ScanResults,
    output_gradient: Array,
    gradients: ScanGradients,
) -> None:
    gate_logits = arrays.gate_logits[row, time][start : start + width]
    ungated = results.ungated[row, time][start : start + width]
    gated_gradient = output_gradient[row, time][start : start + width]
    gradient = gradients.gate_logits[row, time][start : start + width]
    for i in range(width):
        share = sigmoid(gate_logits[i])
        gradient[i] = gated_gradient[i] * ungated[i] * share * (_ONE + gate_logits[i] * (_ONE - share))
