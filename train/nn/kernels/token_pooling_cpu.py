"""Pooling over tokens on the CPU: the compiled kernels on tensors."""

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from .cpu_threads import share_out_rows
from .token_kernels import BFLOAT16, FLOAT16, FLOAT32, Bits, mean_rows, power_mean_rows

_KINDS = {torch.float16: FLOAT16, torch.bfloat16: BFLOAT16, torch.float32: FLOAT32}


def token_mean_cpu(tokens: Float[Tensor, "*rows tokens width"]) -> Float32[Tensor, "*rows width"]:
    """See `token_pooling.token_mean`."""
    bits, kind = _as_bits(tokens), _KINDS[tokens.dtype]
    means = np.empty((len(bits), bits.shape[2]), np.float32)
    share_out_rows(lambda first, last: mean_rows(first, last, bits, kind, means), num_rows=len(bits))
    return _as_pooled(means, tokens)


def token_power_mean_cpu(
    tokens: Float[Tensor, "*rows tokens width"], p: Float[Tensor, ""]
) -> tuple[Float32[Tensor, "*rows width"], Float32[Tensor, "*rows width"]]:
    """See `token_pooling.token_power_mean`."""
    bits, kind, exponent = _as_bits(tokens), _KINDS[tokens.dtype], np.float32(p.item())
    results = (np.empty((len(bits), bits.shape[2]), np.float32), np.empty((len(bits), bits.shape[2]), np.float32))
    share_out_rows(lambda first, last: power_mean_rows(first, last, bits, kind, exponent, results), num_rows=len(bits))
    return _as_pooled(results[0], tokens), _as_pooled(results[1], tokens)


def _as_bits(tokens: Tensor) -> Bits:
    """(rows, tokens, width) of signed integers as wide as the numbers, in the same memory where that is contiguous."""
    integers = torch.int32 if tokens.dtype == torch.float32 else torch.int16
    bits: Bits = tokens.detach().contiguous().view(integers).reshape(-1, *tokens.shape[-2:]).numpy()
    return bits


def _as_pooled(rows: np.ndarray, tokens: Tensor) -> Tensor:
    return torch.from_numpy(rows).view(*tokens.shape[:-2], tokens.shape[-1])
