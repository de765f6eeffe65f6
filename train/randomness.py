"""Randomness of a run: every draw follows from the seed, what it is for, and the epoch.

So an epoch that starts from a checkpoint draws what it would have drawn without the interruption, and no state of a
random number generator needs to be saved.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Purpose(IntEnum):
    """What draws are for; each has a stream of its own, so that no two depend on one another's length."""

    WEIGHTS = 0
    ORDER = 1
    LOSS = 2
    DROPOUT = 3


def derived_seed(seed: int, purpose: Purpose, *, epoch: int = 0) -> int:
    """A 64-bit seed; streams of neighbouring seeds and epochs are independent."""
    return int(np.random.SeedSequence([seed, purpose, epoch]).generate_state(1, np.uint64)[0])


def derived_generator(seed: int, purpose: Purpose, *, epoch: int, device: torch.device) -> torch.Generator:
    """A generator on `device` that starts at `derived_seed`."""
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, epoch=epoch))


@contextmanager
def seeded_global_rng(seed: int, *, device: torch.device) -> Iterator[None]:
    """Seed the global generators of the CPU and of `device` inside the block, and restore both afterwards.

    For layers that take no generator: initial weights and dropout.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        elif device.type == "mps":
            torch.mps.manual_seed(seed)
        yield
