"""The processor cores that this process may use, and how the backbones leave the decode processes theirs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def num_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def cores_left_to(workers: int) -> Iterator[None]:
    """Leave the decode workers their cores: small models run several times slower when threads fight for one."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, before - workers))
    try:
        yield
    finally:
        torch.set_num_threads(before)
