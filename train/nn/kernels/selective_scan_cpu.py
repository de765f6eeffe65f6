"""The selective scan on the CPU: compiled kernels, forward and a hand-written backward in single precision.

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

from .cpu_kernels import LN_2, LOG2_E, Array, compiled, compiled_part, power_of_two, share_out_rows, sigmoid, softplus
from .shared import CHECKPOINT_INTERVAL

_BLOCK = 128  # channels at a time
_ZERO, _ONE = np.float32(0), np.float32(1)

# Rows of the arrays that the kernels work on, each of them a block of channels.
_STEP, _DRIVE, _SKIPPED, _STEP_SLOPE, _INPUT = range(5)  # of one time: Δ, Δ x, gradient or output, dΔ/dlogit, x
_RATE, _STATE, _CARRIED, _RATE_GRADIENT = range(4)  # of one state: A in units of ln 2, h, gradient of h, of the rate
_BEFORE, _DECAY = range(2)  # of one state at one time: h before the step, and what it is multiplied by
_TO_DRIVE, _TO_STEP = range(2)  # gradients that gather over states


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


class ScanGradients(NamedTuple):
    """Gradients of `ScanArrays` in the same order; the two that the whole batch shares are kept apart for each row."""

    inputs: Array
    step_logits: Array
    state_decay: Array  # (batch, states, channels)
    input_weights: Array
    output_weights: Array
    skip_weights: Array  # (batch, channels)
    gate_logits: Array


def scan(arguments: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, and what `differentiate` starts from; arguments as in `ScanArrays`, but the decay channels first."""
    arrays = _as_arrays(arguments)
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


def differentiate(
    arguments: Sequence[Tensor], *, ungated: Tensor, checkpoints: Tensor, output_gradient: Tensor
) -> tuple[Tensor, ...]:
    """Gradients of the arguments of `scan`, given that of its outputs; shared ones are summed in the order of rows."""
    arrays = _as_arrays(arguments)
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


def _as_arrays(arguments: Sequence[Tensor]) -> ScanArrays:
    inputs, step_logits, state_decay, *others = arguments
    tensors = (inputs, step_logits, state_decay.T, *others)
    return ScanArrays(*(tensor.detach().contiguous().numpy() for tensor in tensors))


@compiled
def scan_rows(first: int, last: int, arrays: ScanArrays, results: ScanResults) -> None:
    """Scan the rows `first` to `last - 1` of the batch."""
    num_states, num_channels = arrays.state_decay.shape
    states = np.empty((num_states, 2, _BLOCK), np.float32)
    work = np.empty((3, _BLOCK), np.float32)
    for row in range(first, last):
        for start in range(0, num_channels, _BLOCK):
            _scan_block(row, start, min(_BLOCK, num_channels - start), arrays, results, states, work)


@compiled_part
def _scan_block(
    row: int, start: int, width: int, arrays: ScanArrays, results: ScanResults, states: Array, work: Array
) -> None:
    """Scan the channels from `start` on of one row."""
    for n in range(states.shape[0]):
        rates = arrays.state_decay[n][start : start + width]
        for i in range(width):
            states[n, _RATE, i] = rates[i] * LOG2_E
            states[n, _STATE, i] = _ZERO
    skip_weights = arrays.skip_weights[start : start + width]
    for time in range(arrays.inputs.shape[1]):
        if time % CHECKPOINT_INTERVAL == 0:
            _copy_states(results.checkpoints[row, time // CHECKPOINT_INTERVAL], start, width, states)
        inputs = arrays.inputs[row, time][start : start + width]
        step_logits = arrays.step_logits[row, time][start : start + width]
        for i in range(width):
            step_size = softplus(step_logits[i])
            work[_STEP, i] = step_size
            work[_DRIVE, i] = step_size * inputs[i]
            work[_SKIPPED, i] = skip_weights[i] * inputs[i]
        for n in range(states.shape[0]):
            input_weight, output_weight = arrays.input_weights[row, time, n], arrays.output_weights[row, time, n]
            for i in range(width):
                decay = power_of_two(work[_STEP, i] * states[n, _RATE, i])
                state = decay * states[n, _STATE, i] + work[_DRIVE, i] * input_weight
                states[n, _STATE, i] = state
                work[_SKIPPED, i] += output_weight * state
        gate_logits = arrays.gate_logits[row, time][start : start + width]
        ungated = results.ungated[row, time][start : start + width]
        outputs = results.outputs[row, time][start : start + width]
        for i in range(width):
            output = work[_SKIPPED, i]
            ungated[i] = output
            outputs[i] = output * gate_logits[i] * sigmoid(gate_logits[i])


@compiled_part
def _copy_states(checkpoint: Array, start: int, width: int, states: Array) -> None:
    for n in range(states.shape[0]):
        kept = checkpoint[n][start : start + width]
        for i in range(width):
            kept[i] = states[n, _STATE, i]


@compiled
def differentiate_rows(
    first: int, last: int, arrays: ScanArrays, results: ScanResults, output_gradient: Array, gradients: ScanGradients
) -> None:
    """Go back through the rows `first` to `last - 1`, given the gradient of the outputs (batch, time, channels)."""
    num_states, num_channels = arrays.state_decay.shape
    states = np.empty((num_states, 4, _BLOCK), np.float32)
    history = np.empty((CHECKPOINT_INTERVAL, num_states, 2, _BLOCK), np.float32)
    work = np.empty((CHECKPOINT_INTERVAL, 5, _BLOCK), np.float32)
    gathered = np.empty((2, _BLOCK), np.float32)
    for row in range(first, last):
        gradients.input_weights[row] = _ZERO
        gradients.output_weights[row] = _ZERO
        for start in range(0, num_channels, _BLOCK):
            width = min(_BLOCK, num_channels - start)
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
            states[n, _RATE, i] = rates[i] * LOG2_E
            states[n, _CARRIED, i] = _ZERO
            states[n, _RATE_GRADIENT, i] = _ZERO


@compiled_part
def _load_states(checkpoint: Array, start: int, width: int, states: Array) -> None:
    for n in range(states.shape[0]):
        kept = checkpoint[n][start : start + width]
        for i in range(width):
            states[n, _STATE, i] = kept[i]


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
        work[_STEP, i] = step_size
        work[_DRIVE, i] = step_size * inputs[i]
        work[_STEP_SLOPE, i] = sigmoid(step_logits[i])
        work[_SKIPPED, i] = gated_gradient[i] * gate_logits[i] * sigmoid(gate_logits[i])
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
            decay = power_of_two(work[_STEP, i] * states[n, _RATE, i])
            before = states[n, _STATE, i]
            history[n, _BEFORE, i] = before
            history[n, _DECAY, i] = decay
            after = decay * before + work[_DRIVE, i] * input_weight
            states[n, _STATE, i] = after
            weight_gradient += work[_SKIPPED, i] * after
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
            gradient = states[n, _CARRIED, i] + work[_SKIPPED, i] * output_weight
            weight_gradient += gradient * work[_DRIVE, i]
            gathered[_TO_DRIVE, i] += gradient * input_weight
            gradient *= history[n, _DECAY, i]
            states[n, _CARRIED, i] = gradient
            gradient *= history[n, _BEFORE, i]
            states[n, _RATE_GRADIENT, i] += gradient * work[_STEP, i]
            gathered[_TO_STEP, i] += gradient * states[n, _RATE, i]
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
        inputs[i] = skip_weights[i] * work[_SKIPPED, i] + work[_STEP, i] * to_drive
        step_logits[i] = (work[_INPUT, i] * to_drive + LN_2 * gathered[_TO_STEP, i]) * work[_STEP_SLOPE, i]
    skip_gradient = gradients.skip_weights[row][start : start + width]
    for i in range(width):
        skip_gradient[i] += work[_SKIPPED, i] * work[_INPUT, i]


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
