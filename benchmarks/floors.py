"""What this machine can do at best: the rates that a time is held against."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from weldcache.train.nn.kernels.cpu_kernels import Array, compiled, share_out_rows

_ROUNDS = 7
_COPY_BYTES = 2**28  # far more than caches hold
_MATRIX_SIZES = {"cpu": [(1024, 1024), (4096, 512)], "cuda": [(8192, 8192)]}  # rows, and rows of a square weight
_FMA_REPEATS, _FMA_LANES = 200_000, 128


@dataclass(frozen=True)
class Rates:
    """Best of a few runs each.

    Attributes:
        bytes_per_second: read and written by a copy, both counted.
        gemm_flops: of products of float32 matrices, at the precision that torch is set to.
        vector_flops: of multiply-adds on registers in all threads (CPU); as `gemm_flops` on a GPU.
    """

    bytes_per_second: float
    gemm_flops: float
    vector_flops: float

    def floor(self, *, num_bytes: float = 0, gemm_flops: float = 0, vector_flops: float = 0) -> float:
        """Seconds below which no program gets: memory and arithmetic at the same time, each at its best."""
        arithmetic = gemm_flops / self.gemm_flops + vector_flops / self.vector_flops
        return max(num_bytes / self.bytes_per_second, arithmetic)

    def __str__(self) -> str:
        return (
            f"copies {self.bytes_per_second / 1e9:.1f} GB/s, matrix products {self.gemm_flops / 1e9:.0f} GFLOP/s, "
            f"multiply-adds {self.vector_flops / 1e9:.0f} GFLOP/s"
        )


def measure_rates(device: torch.device) -> Rates:
    """Measure `device`; takes a few seconds."""
    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copying = best_seconds(lambda: target.copy_(source), device=device)
    gemm_flops = max(_gemm_flops(rows, width, device=device) for rows, width in _MATRIX_SIZES[device.type])
    return Rates(
        bytes_per_second=2 * source.nbytes / copying,
        gemm_flops=gemm_flops,
        vector_flops=_vector_flops() if device.type == "cpu" else gemm_flops,
    )


def count_flops(run: Callable[[], object]) -> int:
    """Operations in matrix products while `run` runs, a multiply-add counted as two."""
    counter = FlopCounterMode(display=False)
    with counter:
        run()
    return int(counter.get_total_flops())


def num_bytes(*tensors: Tensor) -> int:
    """Memory of all tensors."""
    return sum(tensor.nbytes for tensor in tensors)


def best_seconds(run: Callable[[], object], *, device: torch.device) -> float:
    """Shortest of a few runs after one that is not counted, the device's own work included."""
    seconds = []
    for _ in range(1 + _ROUNDS):
        wait_for(device)
        started = time.perf_counter()
        run()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def wait_for(device: torch.device) -> None:
    """Until the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _gemm_flops(rows: int, width: int, *, device: torch.device) -> float:
    matrix, weight = torch.randn(rows, width, device=device), torch.randn(width, width, device=device)
    return 2 * rows * width**2 / best_seconds(lambda: matrix @ weight, device=device)


def _vector_flops() -> float:
    num_threads = torch.get_num_threads()
    results = np.zeros((num_threads, _FMA_LANES), np.float32)
    seconds = best_seconds(
        lambda: share_out_rows(lambda first, last: _multiply_and_add(first, last, results), num_rows=num_threads),
        device=torch.device("cpu"),
    )
    return 2 * _FMA_REPEATS * _FMA_LANES * num_threads / seconds


@compiled
def _multiply_and_add(first: int, last: int, results: Array) -> None:
    """As many sums at a time as fill the registers."""
    for row in range(first, last):
        sums = np.zeros(_FMA_LANES, np.float32)
        factor = np.float32(0.999)
        for _ in range(_FMA_REPEATS):
            for i in range(_FMA_LANES):
                sums[i] = sums[i] * factor + factor
        results[row] = sums
