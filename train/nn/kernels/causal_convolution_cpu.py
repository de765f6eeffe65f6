"""The causal convolution on the CPU in single precision: compiled kernels, forward and backward, and their way in."""

import numpy as np
import torch
from torch import Tensor

from .cpu_kernels import Array, compiled, share_out_rows, sigmoid

_ZERO, _ONE = np.float32(0), np.float32(1)


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Outputs (batch, time, channels) from inputs of that shape, a weight (channels, taps) and a bias (channels,)."""
    arrays = _as_arrays(inputs, weight, bias)
    outputs = np.empty_like(arrays[0])
    share_out_rows(lambda first, last: _convolve_rows(first, last, arrays, outputs), num_rows=len(inputs))
    return torch.from_numpy(outputs)


def differentiate(
    inputs: Tensor, weight: Tensor, bias: Tensor, output_gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the arguments of `convolve`; those of weight and bias are summed in the order of rows."""
    arrays, outputs = _as_arrays(inputs, weight, bias), output_gradient.detach().contiguous().numpy()
    num_taps, num_channels = arrays[1].shape
    inputs_gradient = np.empty_like(arrays[0])
    # The bias as the weight of one more tap, so that both are one array.
    weights_gradient = np.zeros((len(inputs), num_taps + 1, num_channels), np.float32)
    share_out_rows(
        lambda first, last: _differentiate_rows(first, last, arrays, outputs, inputs_gradient, weights_gradient),
        num_rows=len(inputs),
    )
    summed = torch.from_numpy(weights_gradient.sum(axis=0))
    return torch.from_numpy(inputs_gradient), summed[:-1].T.contiguous(), summed[-1].clone()


def _as_arrays(inputs: Tensor, weight: Tensor, bias: Tensor) -> tuple[Array, Array, Array]:
    """The arguments with channels last, the weight as (taps, channels)."""
    arrays = [tensor.detach().contiguous().numpy() for tensor in (inputs, weight.T, bias)]
    return arrays[0], arrays[1], arrays[2]


@compiled
def _convolve_time(row: int, time: int, inputs: Array, weight: Array, bias: Array, convolved: Array) -> None:
    """The convolution at one time, before its activation."""
    convolved[:] = bias
    num_taps = weight.shape[0]
    for tap in range(max(0, num_taps - 1 - time), num_taps):
        tap_weight, tap_inputs = weight[tap], inputs[row, time - (num_taps - 1 - tap)]
        for i in range(convolved.shape[0]):
            convolved[i] += tap_weight[i] * tap_inputs[i]


@compiled
def _convolve_rows(first: int, last: int, arrays: tuple[Array, Array, Array], outputs: Array) -> None:
    inputs, weight, bias = arrays
    convolved = np.empty(inputs.shape[2], np.float32)
    for row in range(first, last):
        for time in range(inputs.shape[1]):
            _convolve_time(row, time, inputs, weight, bias, convolved)
            output = outputs[row, time]
            for i in range(convolved.shape[0]):
                output[i] = convolved[i] * sigmoid(convolved[i])


@compiled
def _differentiate_rows(
    first: int,
    last: int,
    arrays: tuple[Array, Array, Array],
    output_gradient: Array,
    inputs_gradient: Array,
    weights_gradient: Array,
) -> None:
    inputs, weight, bias = arrays
    num_taps = weight.shape[0]
    convolved = np.empty(inputs.shape[2], np.float32)
    for row in range(first, last):
        inputs_gradient[row] = _ZERO
        for time in range(inputs.shape[1]):
            _convolve_time(row, time, inputs, weight, bias, convolved)
            _differentiate_activation(convolved, output_gradient[row, time])
            bias_gradient = weights_gradient[row, num_taps]
            for i in range(convolved.shape[0]):
                bias_gradient[i] += convolved[i]
            for tap in range(max(0, num_taps - 1 - time), num_taps):
                source = time - (num_taps - 1 - tap)
                tap_gradient, tap_inputs = weights_gradient[row, tap], inputs[row, source]
                tap_weight, source_gradient = weight[tap], inputs_gradient[row, source]
                for i in range(convolved.shape[0]):
                    tap_gradient[i] += convolved[i] * tap_inputs[i]
                    source_gradient[i] += convolved[i] * tap_weight[i]


@compiled
def _differentiate_activation(convolved: Array, output_gradient: Array) -> None:
    """Replace the convolution's values by their gradients."""
    for i in range(convolved.shape[0]):
        share = sigmoid(convolved[i])
        convolved[i] = output_gradient[i] * share * (_ONE + convolved[i] * (_ONE - share))
