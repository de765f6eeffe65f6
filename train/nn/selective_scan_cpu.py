"""The selective scan on the CPU in single precision: compiled kernels, joined to torch's automatic differentiation.

Rows of the batch are shared out among plain threads, which the kernels let run by giving up the interpreter's lock: no
second OpenMP with its own ideas about forks and numbers of cores stands next to torch's, and `torch.set_num_threads`
rules here as well. A row is computed by one thread and rows are summed in their order, so the result is the same to the
bit whatever the number of threads.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from .selective_scan_kernels import (
    CHECKPOINT_INTERVAL,
    Array,
    ScanArrays,
    ScanGradients,
    differentiate_rows,
    scan_rows,
)


def selective_scan_cpu(
    inputs: Float32[Tensor, "batch time channels"],
    *,
    step_sizes: Float32[Tensor, "batch time channels"],
    state_decay: Float32[Tensor, "channels states"],
    input_weights: Float32[Tensor, "batch time states"],
    output_weights: Float32[Tensor, "batch time states"],
    skip_weights: Float32[Tensor, " channels"],
) -> Float32[Tensor, "batch time channels"]:
    """The recurrence of `selective_scan.selective_scan`, differentiable once."""
    arguments = (inputs, step_sizes, state_decay.T, input_weights, output_weights, skip_weights)
    outputs: Tensor = _Scan.apply(*arguments)  # type: ignore[no-untyped-call]
    return outputs


class _Scan(torch.autograd.Function):
    """The kernels on tensors; the order of arguments is that of `ScanArrays`."""

    @staticmethod
    def forward(ctx: FunctionCtx, *tensors: Tensor) -> Tensor:
        tensors = tuple(tensor.contiguous() for tensor in tensors)
        outputs, checkpoints = _scan(_as_arrays(tensors))
        ctx.save_for_backward(*tensors, torch.from_numpy(checkpoints))
        return torch.from_numpy(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, output_gradient: Tensor) -> tuple[Tensor, ...]:
        *tensors, checkpoints = ctx.saved_tensors
        gradients = _differentiate(
            _as_arrays(tensors),
            checkpoints=checkpoints.numpy(),
            output_gradient=output_gradient.contiguous().numpy(),
        )
        return tuple(torch.from_numpy(gradient) for gradient in gradients)


def _as_arrays(tensors: Sequence[Tensor]) -> ScanArrays:
    return ScanArrays(*(tensor.detach().numpy() for tensor in tensors))


def _scan(arrays: ScanArrays) -> tuple[Array, Array]:
    """Outputs (batch, time, channels), and the states that `_differentiate` starts from."""
    num_rows, num_steps, num_channels = arrays.inputs.shape
    num_checkpoints = -(-num_steps // CHECKPOINT_INTERVAL)
    outputs = np.empty_like(arrays.inputs)
    checkpoints = np.empty((num_rows, num_checkpoints, len(arrays.state_decay), num_channels), np.float32)
    _share_out_rows(lambda first, last: scan_rows(first, last, arrays, outputs, checkpoints), num_rows=num_rows)
    return outputs, checkpoints


def _differentiate(arrays: ScanArrays, *, checkpoints: Array, output_gradient: Array) -> tuple[Array, ...]:
    """Gradients in the order of `ScanArrays`, given that of the outputs; shared ones are summed over the batch."""
    num_rows = len(arrays.inputs)
    gradients = ScanGradients(
        inputs=np.empty_like(arrays.inputs),
        step_sizes=np.empty_like(arrays.step_sizes),
        state_decay=np.zeros((num_rows, *arrays.state_decay.shape), np.float32),
        input_weights=np.empty_like(arrays.input_weights),
        output_weights=np.empty_like(arrays.output_weights),
        skip_weights=np.zeros((num_rows, *arrays.skip_weights.shape), np.float32),
    )
    _share_out_rows(
        lambda first, last: differentiate_rows(first, last, arrays, checkpoints, output_gradient, gradients),
        num_rows=num_rows,
    )
    summed = {"state_decay": gradients.state_decay.sum(axis=0), "skip_weights": gradients.skip_weights.sum(axis=0)}
    return tuple(gradients._replace(**summed))


def _share_out_rows(work: Callable[[int, int], None], *, num_rows: int) -> None:
    """Call `work(first, last)` for consecutive parts of the rows, as many at a time as torch has threads."""
    num_threads = max(1, min(torch.get_num_threads(), num_rows))
    (first, last), *others = pairwise(num_rows * part // num_threads for part in range(num_threads + 1))
    helpers = [_thread_pool(os.getpid(), num_threads).submit(work, *span) for span in others]
    work(first, last)
    for helper in helpers:
        helper.result()


@lru_cache(maxsize=1)
def _thread_pool(process_id: int, num_threads: int) -> ThreadPoolExecutor:
    """One pool for the process; a forked child, which inherits no threads, comes with another id and gets its own."""
    return ThreadPoolExecutor(num_threads - 1, thread_name_prefix=f"selective-scan-{process_id}")
