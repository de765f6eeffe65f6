"""Pooling over tokens on the CPU, straight from the bits that the cache stores, in one pass over memory.

Half precision becomes single a token at a time, in the processor's nearest cache: nothing as large as the tokens is
made.
"""

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor

from .cpu_kernels import LN_2, Array, compiled, inlined, logarithm_of_two, power_of_two, share_out_rows
from .shared import SMALLEST_POOLED

_FLOAT16, _BFLOAT16, _FLOAT32 = range(3)  # what bits mean
_KINDS = {torch.float16: _FLOAT16, torch.bfloat16: _BFLOAT16, torch.float32: _FLOAT32}

_BLOCK = 2048  # channels at a time; fewer would read memory in pieces, which is slow
_CLAMP = np.float32(SMALLEST_POOLED)
_ZERO = np.float32(0)
_TO_SINGLE = np.float32(2.0**112)  # from the exponent's bias in half precision to that in single
_VALUE, _OFFSET, _TOTAL, _WEIGHTED = range(4)


Bits = NDArray[np.int16] | NDArray[np.int32]


def token_mean_cpu(tokens: Float[Tensor, "*rows tokens width"]) -> Float32[Tensor, "*rows width"]:
    """As `pooling.token_mean`."""
    bits, kind = _as_bits(tokens), _KINDS[tokens.dtype]
    means = np.empty((len(bits), bits.shape[2]), np.float32)
    share_out_rows(lambda first, last: _mean_rows(first, last, bits, kind, means), num_rows=len(bits))
    return _as_pooled(means, tokens)


def token_power_mean_cpu(
    tokens: Float[Tensor, "*rows tokens width"], p: Float[Tensor, ""]
) -> tuple[Float32[Tensor, "*rows width"], Float32[Tensor, "*rows width"]]:
    """As `pooling.token_power_mean`."""
    bits, kind, exponent = _as_bits(tokens), _KINDS[tokens.dtype], np.float32(p.item())
    results = (np.empty((len(bits), bits.shape[2]), np.float32), np.empty((len(bits), bits.shape[2]), np.float32))
    share_out_rows(lambda first, last: _power_mean_rows(first, last, bits, kind, exponent, results), num_rows=len(bits))
    return _as_pooled(results[0], tokens), _as_pooled(results[1], tokens)


def _as_bits(tokens: Tensor) -> Bits:
    """(rows, tokens, width) of signed integers as wide as the numbers, in the same memory where that is contiguous."""
    integers = torch.int32 if tokens.dtype == torch.float32 else torch.int16
    bits: Bits = tokens.detach().contiguous().view(integers).reshape(-1, *tokens.shape[-2:]).numpy()
    return bits


def _as_pooled(rows: np.ndarray, tokens: Tensor) -> Tensor:
    return torch.from_numpy(rows).view(*tokens.shape[:-2], tokens.shape[-1])


@inlined
def _clamped(value: np.float32) -> np.float32:
    return _CLAMP if value < _CLAMP else value


@compiled
def _read(bits: Bits, kind: int, values: Array) -> None:
    """The numbers that `bits` stand for."""
    if kind == _FLOAT16:
        for i in range(bits.shape[0]):
            # A multiplication puts the exponent right, also where it was zero and the number a very small one.
            magnitude = np.int32(np.int32(bits[i]) & np.int32(0x7FFF))
            value = np.float32(np.int32(magnitude << np.int32(13)).view(np.float32) * _TO_SINGLE)
            if magnitude >= np.int32(0x7C00):
                value = np.float32(np.inf) if magnitude == np.int32(0x7C00) else np.float32(np.nan)
            values[i] = -value if bits[i] < 0 else value
    elif kind == _BFLOAT16:
        for i in range(bits.shape[0]):
            values[i] = np.int32(np.int32(bits[i]) << np.int32(16)).view(np.float32)
    else:
        for i in range(bits.shape[0]):
            values[i] = np.int32(bits[i]).view(np.float32)


@compiled
def _find_largest(bits: Bits, row: int, start: int, width: int, largest: Bits) -> None:
    """The largest token, at least zero, and the largest magnitude, both as bits, which order like numbers."""
    magnitude_bits = np.iinfo(bits.dtype).max
    for i in range(width):
        largest[0, i] = largest[1, i] = 0
    for token in range(bits.shape[1]):
        token_bits = bits[row, token][start : start + width]
        for i in range(width):
            largest[0, i] = max(largest[0, i], token_bits[i])
            largest[1, i] = max(largest[1, i], token_bits[i] & magnitude_bits)


@compiled
def _mean_rows(first: int, last: int, bits: Bits, kind: int, means: Array) -> None:
    """Mean over the tokens of the rows `first` to `last - 1`; `bits` is (rows, tokens, channels)."""
    num_tokens, num_channels = bits.shape[1:]
    work = np.empty((2, _BLOCK), np.float32)
    for row in range(first, last):
        for start in range(0, num_channels, _BLOCK):
            width = min(_BLOCK, num_channels - start)
            for i in range(width):
                work[_OFFSET, i] = _ZERO
            for token in range(num_tokens):
                _read(bits[row, token][start : start + width], kind, work[_VALUE])
                for i in range(width):
                    work[_OFFSET, i] += work[_VALUE, i]
            mean = means[row][start : start + width]
            for i in range(width):
                mean[i] = work[_OFFSET, i] / np.float32(num_tokens)


@compiled
def _power_mean_rows(
    first: int, last: int, bits: Bits, kind: int, exponent: np.float32, results: tuple[Array, Array]
) -> None:
    """The power mean of the clamped tokens, and the mean of their natural logarithms with their powers as weights.

    Powers are taken relative to the largest token, so that none overflows; what is not finite makes its channel NaN.
    """
    num_tokens, num_channels = bits.shape[1:]
    work = np.empty((4, _BLOCK), np.float32)
    largest = np.empty((2, _BLOCK), bits.dtype)
    for row in range(first, last):
        for start in range(0, num_channels, _BLOCK):
            width = min(_BLOCK, num_channels - start)
            _find_largest(bits, row, start, width, largest)
            _read(largest[1][:width], kind, work[_VALUE])
            for i in range(width):
                # Bits of numbers order like the numbers; infinity less itself is not a number.
                work[_OFFSET, i] = work[_VALUE, i] - work[_VALUE, i]
            _read(largest[0][:width], kind, work[_VALUE])
            for i in range(width):
                work[_OFFSET, i] -= exponent * logarithm_of_two(_clamped(work[_VALUE, i]))
                work[_TOTAL, i] = _ZERO
                work[_WEIGHTED, i] = _ZERO
            for token in range(num_tokens):
                _read(bits[row, token][start : start + width], kind, work[_VALUE])
                for i in range(width):
                    logarithm = logarithm_of_two(_clamped(work[_VALUE, i]))
                    power = power_of_two(exponent * logarithm + work[_OFFSET, i])
                    work[_TOTAL, i] += power
                    work[_WEIGHTED, i] += power * logarithm
            pooled = results[0][row][start : start + width]
            mean_logarithms = results[1][row][start : start + width]
            for i in range(width):
                logarithm = logarithm_of_two(work[_TOTAL, i] / np.float32(num_tokens)) - work[_OFFSET, i]
                pooled[i] = power_of_two(logarithm / exponent)
                mean_logarithms[i] = LN_2 * work[_WEIGHTED, i] / work[_TOTAL, i]
