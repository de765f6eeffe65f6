"""What kernels of all devices share, and whether one takes a tensor; where none does, torch's own operations run."""

from functools import cache
from importlib.util import find_spec

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
