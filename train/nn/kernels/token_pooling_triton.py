"""Pooling over tokens on CUDA: a Triton kernel that reads each token once and keeps nothing of the tokens' size.

A program pools some channels of one row, a tile of tokens at a time; the sums are relative to the largest token so far
and are scaled down where a larger one comes.

The kernel is tested by Triton's interpreter on a CPU and compiles for compute capability 9.0; it has not run on a GPU
yet.
"""

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Float32
from torch import Tensor

_TILE_TOKENS, _TILE_CHANNELS = 32, 64


def token_power_mean_triton(
    tokens: Float[Tensor, "*rows tokens width"], p: Float[Tensor, ""]
) -> tuple[Float32[Tensor, "*rows width"], Float32[Tensor, "*rows width"]]:
    """As `pooling.token_power_mean`."""
    flat = tokens.contiguous().view(-1, *tokens.shape[-2:])
    num_rows, num_tokens, num_channels = flat.shape
    pooled = torch.empty((num_rows, num_channels), dtype=torch.float32, device=tokens.device)
    mean_logs = torch.empty_like(pooled)
    grid = (num_rows, triton.cdiv(num_channels, _TILE_CHANNELS))
    sizes = {"TOKENS": _TILE_TOKENS, "CHANNELS": _TILE_CHANNELS}
    _power_mean_kernel[grid](flat, p, pooled, mean_logs, num_tokens, num_channels, **sizes)
    pooled_shape = (*tokens.shape[:-2], num_channels)
    return pooled.view(pooled_shape), mean_logs.view(pooled_shape)


@triton.jit  # type: ignore[untyped-decorator]
def _power_mean_kernel(
    tokens: "tl.tensor",
    p: "tl.tensor",
    pooled: "tl.tensor",
    mean_logs: "tl.tensor",
    num_tokens: "tl.tensor",
    num_channels: "tl.tensor",
    TOKENS: tl.constexpr,
    CHANNELS: tl.constexpr,
) -> None:
    row = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    token = tl.arange(0, TOKENS)
    has_channel = channel < num_channels
    exponent = tl.load(p).to(tl.float32)
    largest = tl.full((CHANNELS,), float("-inf"), tl.float32)
    total = tl.zeros((CHANNELS,), tl.float32)
    weighted = tl.zeros((CHANNELS,), tl.float32)
    broken = tl.zeros((CHANNELS,), tl.float32)
    for start in range(0, num_tokens, TOKENS):
        present = (start + token < num_tokens)[:, None] & has_channel[None, :]
        offsets = (row * num_tokens + start + token)[:, None] * num_channels + channel[None, :]
        values = tl.load(tokens + offsets, mask=present, other=1.0).to(tl.float32)
        broken += tl.sum(values - values, axis=0)  # zero, unless a value is not finite
        logs = tl.where(present, tl.log(tl.maximum(values, 1e-6)), float("-inf"))
        new_largest = tl.maximum(largest, tl.max(logs, axis=0))
        # A channel beyond the last has seen nothing: infinity less infinity must not reach its sums.
        reference = tl.where(has_channel, new_largest, 0.0)
        rescale = tl.exp(exponent * (largest - reference))
        powers = tl.exp(exponent * (logs - reference[None, :]))
        total = total * rescale + tl.sum(powers, axis=0)
        weighted = weighted * rescale + tl.sum(powers * tl.where(present, logs, 0.0), axis=0)
        largest = new_largest
    result = tl.exp(largest + tl.log(total / num_tokens) / exponent) + broken
    of_channels = row * num_channels + channel
    tl.store(pooled + of_channels, result, mask=has_channel)
    tl.store(mean_logs + of_channels, weighted / total, mask=has_channel)
