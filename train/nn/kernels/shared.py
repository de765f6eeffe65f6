"""What kernels of all devices share, and whether one takes a tensor; where none does, torch's own operations run."""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

SMALLEST_POOLED = 1e-6  # tokens are clamped here before a power is taken, which is defined for positive values only
CHECKPOINT_INTERVAL = 16  # steps of a scan from one state that is kept for the way back to the next


@cache
def is_installed(library: str) -> bool:
    """Whether an optional library is there, without importing it, which takes a while."""
    return find_spec(library) is not None


def has_kernel(tensor: Tensor, *, dtypes: tuple[torch.dtype, ...], on_cuda: bool) -> bool:
    """Whether there is a kernel for a tensor of one of these types: always on the CPU, with Triton on CUDA.

    Exported programs hold torch's own operators only.
    """
    if tensor.dtype not in dtypes or torch.compiler.is_exporting():
        return False
    return tensor.device.type == "cpu" or (on_cuda and tensor.device.type == "cuda" and is_installed("triton"))


def each_alone(
    operator: Callable[..., tuple[Tensor, ...]], info: Any, in_dims: tuple[int | None, ...], *arguments: Tensor
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """A kernel for stacked models, as a rule of torch.vmap: it is called for each of them, one after another."""
    calls = [
        operator(
            *(one if axis is None else one.select(axis, place) for one, axis in zip(arguments, in_dims, strict=True))
        )
        for place in range(info.batch_size)
    ]
    outputs = tuple(torch.stack(each) for each in zip(*calls, strict=True))
    return outputs, (0,) * len(outputs)
