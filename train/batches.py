"""Batches of samples: what they are gathered from, and their shuffled order in an epoch."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from .recipes.recipe import Batch

_SMALLEST_BATCH = 2  # losses that compare the samples of a batch need two


@runtime_checkable
class BatchSource(Protocol):
    """Samples that can be gathered into batches."""

    def __len__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where batches are."""

    def batch(self, samples: Int64[Tensor, " batch"]) -> Batch:
        """The samples at these positions."""


def shuffled_batches(
    num_samples: int, *, batch_size: int, generator: torch.Generator
) -> Sequence[Int64[Tensor, " batch"]]:
    """Every sample once, in random order; a last batch of a single sample is left out."""
    batches = torch.split(torch.randperm(num_samples, generator=generator), batch_size)
    return [batch for batch in batches if len(batch) >= _SMALLEST_BATCH]


def num_shuffled_batches(num_samples: int, *, batch_size: int) -> int:
    """How many batches `shuffled_batches` gives."""
    full, rest = divmod(num_samples, batch_size)
    return full + (rest >= _SMALLEST_BATCH)
