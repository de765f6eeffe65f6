"""Kernels of the selective scan for the CPU, compiled: forward and a hand-written backward in single precision.

The innermost loop always runs over channels, which are contiguous: the compiler turns it into vector instructions, the
exponential included. Forward keeps only every 16th state; backward replays the states between from there, which is
cheaper than fetching them from memory.

Importing this module costs the import of numba; kernels are compiled at their first call and kept on disk.
"""

import contextlib
import inspect
from collections.abc import Callable
from typing import NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

CHECKPOINT_INTERVAL = 16
_LOG2_E = np.float32(1.4426950408889634)
_LN_2 = np.float32(0.6931471805599453)
_LOWEST_EXPONENT = np.float32(-126.0)  # 2**-126 is the smallest normal number; the CPU is slow with smaller ones

_Function = TypeVar("_Function", bound=Callable[..., object])
Array = NDArray[np.float32]


def _compiled(function: _Function) -> _Function:
    """Compile at the first call; sums may be reordered and fused, but NaN and infinity stay what they are."""
    plain_function = inspect.unwrap(function)  # shape checks wrap every function while tests run
    compiled = numba.njit(nogil=True, fastmath={"contract", "reassoc", "nsz"})(plain_function)
    # Where no folder for compiled code can be written, each process compiles for itself.
    with contextlib.suppress(RuntimeError):
        compiled.enable_caching()
    return cast(_Function, compiled)


class ScanArrays(NamedTuple):
    """What a scan reads: float32, C-contiguous, with channels last."""

    inputs: Array  # (batch, time, channels)
    step_sizes: Array  # (batch, time, channels)
    state_decay: Array  # (states, channels)
    input_weights: Array  # (batch, time, states)
    output_weights: Array  # (batch, time, states)
    skip_weights: Array  # (channels,)


class ScanGradients(NamedTuple):
    """Gradients of `ScanArrays` in the same order; the two that the whole batch shares are kept apart for each row."""

    inputs: Array
    step_sizes: Array
    state_decay: Array  # (batch, states, channels)
    input_weights: Array
    output_weights: Array
    skip_weights: Array  # (batch, channels)


@_compiled
def _power_of_two(exponent: np.float32) -> np.float32:
    """`2 ** exponent` below 2 ** 127, to 1e-7 of its value; polynomial of `exp2f` in S. Moshier's Cephes library.

    Written out because a call of the mathematics library would keep the loop around it from being vectorised.
    """
    if exponent < _LOWEST_EXPONENT:  # not max(), which would turn NaN into a number
        exponent = _LOWEST_EXPONENT
    whole = np.floor(exponent + np.float32(0.5))
    rest = exponent - whole
    power = np.float32(1.535336188319500e-4)
    power = power * rest + np.float32(1.339887440266574e-3)
    power = power * rest + np.float32(9.618437357674640e-3)
    power = power * rest + np.float32(5.550332471162809e-2)
    power = power * rest + np.float32(2.402264791363012e-1)
    power = power * rest + np.float32(6.931472028550421e-1)
    power = power * rest + np.float32(1.0)
    scale: np.float32 = np.int32((np.int32(whole) + 127) << 23).view(np.float32)  # its exponent bits, set directly
    result: np.float32 = power * scale
    return result


@_compiled
def _advance(
    before: Array, after: Array, rates: Array, step_sizes: Array, drive: Array, input_weight: np.float32
) -> None:
    """Take one state of all channels one step on; `after` must not overlap `before`, or the loop is not vectorised."""
    for channel in range(before.shape[0]):
        decay = _power_of_two(step_sizes[channel] * rates[channel])
        after[channel] = decay * before[channel] + drive[channel] * input_weight


@_compiled
def _read_out(state: Array, output_weight: np.float32, output: Array) -> None:
    """Add one state of all channels to their output; as a loop, since an array expression would allocate."""
    for channel in range(state.shape[0]):
        output[channel] += output_weight * state[channel]


@_compiled
def scan_rows(first: int, last: int, arrays: ScanArrays, outputs: Array, checkpoints: Array) -> None:
    """Scan the rows `first` to `last - 1` of the batch; the states before every 16th step are kept."""
    num_states, num_channels = arrays.state_decay.shape
    rates = arrays.state_decay * _LOG2_E
    states = np.empty((2, num_states, num_channels), np.float32)
    for row in range(first, last):
        states[0] = 0
        for time in range(arrays.inputs.shape[1]):
            before, after = states[time % 2], states[(time + 1) % 2]
            if time % CHECKPOINT_INTERVAL == 0:
                checkpoints[row, time // CHECKPOINT_INTERVAL] = before
            inputs, step_sizes, output = arrays.inputs[row, time], arrays.step_sizes[row, time], outputs[row, time]
            drive = step_sizes * inputs
            output[:] = arrays.skip_weights * inputs
            for n in range(num_states):
                _advance(before[n], after[n], rates[n], step_sizes, drive, arrays.input_weights[row, time, n])
                _read_out(after[n], arrays.output_weights[row, time, n], output)


@_compiled
def _replay(row: int, start: int, stop: int, arrays: ScanArrays, rates: Array, states: Array) -> None:
    """Compute the states after each of the steps `start` to `stop - 1` again, from `states[0]` before them."""
    for time in range(start, stop):
        before, after = states[time - start], states[time - start + 1]
        step_sizes = arrays.step_sizes[row, time]
        drive = step_sizes * arrays.inputs[row, time]
        for n in range(rates.shape[0]):
            _advance(before[n], after[n], rates[n], step_sizes, drive, arrays.input_weights[row, time, n])


@_compiled
def _differentiate_state(
    before: Array,
    after: Array,
    rates: Array,
    step_sizes: Array,
    drive: Array,
    input_weight: np.float32,
    output_weight: np.float32,
    output_gradient: Array,
    carried_gradient: Array,
    decay_gradient: Array,
    drive_gradient: Array,
    step_gradient: Array,
) -> tuple[np.float32, np.float32]:
    """Take the gradient of one state of all channels one step back, and return those of its two weights.

    `carried_gradient` holds the gradient of the state after the step from all later steps, and is left with that of the
    state before it. `step_gradient` gathers what reaches the step sizes through `rates`, and so is in units of ln 2.
    """
    input_weight_gradient = output_weight_gradient = np.float32(0)
    for channel in range(before.shape[0]):
        gradient = carried_gradient[channel] + output_gradient[channel] * output_weight
        output_weight_gradient += output_gradient[channel] * after[channel]
        input_weight_gradient += gradient * drive[channel]
        drive_gradient[channel] += gradient * input_weight
        gradient *= _power_of_two(step_sizes[channel] * rates[channel])
        carried_gradient[channel] = gradient
        gradient *= before[channel]
        decay_gradient[channel] += gradient * step_sizes[channel]
        step_gradient[channel] += gradient * rates[channel]
    return input_weight_gradient, output_weight_gradient


@_compiled
def differentiate_rows(
    first: int,
    last: int,
    arrays: ScanArrays,
    checkpoints: Array,
    output_gradient: Array,
    gradients: ScanGradients,
) -> None:
    """Go back through the rows `first` to `last - 1`, 16 steps at a time, replaying their states before using them."""
    num_steps, num_channels = arrays.inputs.shape[1:]
    num_states = arrays.state_decay.shape[0]
    rates = arrays.state_decay * _LOG2_E
    states = np.empty((CHECKPOINT_INTERVAL + 1, num_states, num_channels), np.float32)
    carried_gradient = np.empty((num_states, num_channels), np.float32)
    drive_gradient = np.empty(num_channels, np.float32)
    step_gradient = np.empty(num_channels, np.float32)
    for row in range(first, last):
        carried_gradient[:] = 0
        for chunk in range(checkpoints.shape[1] - 1, -1, -1):
            start = chunk * CHECKPOINT_INTERVAL
            stop = min(start + CHECKPOINT_INTERVAL, num_steps)
            states[0] = checkpoints[row, chunk]
            _replay(row, start, stop, arrays, rates, states)
            for time in range(stop - 1, start - 1, -1):
                before, after = states[time - start], states[time - start + 1]
                inputs, step_sizes = arrays.inputs[row, time], arrays.step_sizes[row, time]
                drive = step_sizes * inputs
                drive_gradient[:] = 0
                step_gradient[:] = 0
                for n in range(num_states):
                    input_weight_gradient, output_weight_gradient = _differentiate_state(
                        before[n],
                        after[n],
                        rates[n],
                        step_sizes,
                        drive,
                        arrays.input_weights[row, time, n],
                        arrays.output_weights[row, time, n],
                        output_gradient[row, time],
                        carried_gradient[n],
                        gradients.state_decay[row, n],
                        drive_gradient,
                        step_gradient,
                    )
                    gradients.input_weights[row, time, n] = input_weight_gradient
                    gradients.output_weights[row, time, n] = output_weight_gradient
                skipped = output_gradient[row, time]
                gradients.inputs[row, time] = arrays.skip_weights * skipped + step_sizes * drive_gradient
                gradients.step_sizes[row, time] = inputs * drive_gradient + _LN_2 * step_gradient
                gradients.skip_weights[row] += skipped * inputs
