"""The sides of a run, which are at work at the same time: the cores that each has, and how long it was busy.

The end of a run names the bottleneck, which is the side that was at work for the largest share of the time.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch

from ..configs.device import resolve_device
from .settings import ExtractSettings

SIDES = ("decode", "backbones", "disk")

_MOST_WORKERS = 32


@contextmanager
def device_clock(device: torch.device) -> Iterator[Callable[[], float]]:
    """Time the work that the block gives to `device`; what is yielded tells the seconds, once that work is done.

    On CUDA the block returns before its work is done; asking for the seconds waits for it.
    """
    if device.type == "cuda":
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record()

        def elapsed() -> float:
            last.synchronize()
            return float(first.elapsed_time(last)) / 1000

        yield elapsed
        last.record()
    else:
        bounds = [time.perf_counter()]
        yield lambda: bounds[1] - bounds[0]
        bounds.append(time.perf_counter())


def describe_busy(shares: Mapping[str, float]) -> str:
    """Shares of the time as text: `decode 40%, backbones 97%, disk 3%`."""
    return ", ".join(f"{side} {shares[side]:.0%}" for side in SIDES)


def bottleneck(shares: Mapping[str, float]) -> str:
    """The side that was at work for the largest share of the time."""
    return max(SIDES, key=lambda side: shares[side])


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def num_workers(settings: ExtractSettings) -> int:
    """Decode processes: as set, or by the cores that this process may use."""
    if settings.workers != "auto":
        return settings.workers
    beside_gpu = resolve_device(settings.device, setting="extract.device").type == "cuda"
    return max(1, decoders_of(num_cores(), beside_gpu=beside_gpu))


def decoders_of(cores: int, *, beside_gpu: bool) -> int:
    """Decode processes for so many cores; none for one alone."""
    return min(_MOST_WORKERS, max(0, cores - 1 if beside_gpu else cores // 2))


@contextmanager
def cores_left_to(workers: int) -> Iterator[None]:
    """Leave the decode workers their cores: small models run several times slower when threads fight for one."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
