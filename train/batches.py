"""Batches of samples: where they come from, and their order in an epoch."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from .recipes.recipe import Batch

_SMALLEST_BATCH = 2  # losses that compare the samples of a batch need two

Order = Sequence[Int64[Tensor, " _"]]
"""Positions of the samples of each batch, one batch after another."""


@runtime_checkable
class BatchSource(Protocol):
    """Samples that come in batches. All sources of the same samples give the same batches for the same order."""

    def __len__(self) -> int: ...

    @property
    def device(self) -> torch.device:
        """Where batches are."""

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`, of `arrays` alone where they are named; each is the caller's to keep."""


def shuffled_batches(num_samples: int, *, batch_size: int, generator: torch.Generator) -> Order:
    """Every sample once, in random order; a last batch of a single sample is left out."""
    batches = torch.split(torch.randperm(num_samples, generator=generator), batch_size)
    return [batch for batch in batches if len(batch) >= _SMALLEST_BATCH]


def num_shuffled_batches(num_samples: int, *, batch_size: int) -> int:
    """How many batches `shuffled_batches` gives."""
    full, rest = divmod(num_samples, batch_size)
    return full + (rest >= _SMALLEST_BATCH)


def batches_in_order(num_samples: int, *, batch_size: int) -> Order:
    """Every sample once, in the order in which they stand."""
    return list(torch.split(torch.arange(num_samples), batch_size)) if num_samples else []


def regrouped(batches: Iterable[Batch], *, keep: Iterable[Bool[Tensor, " _"]], batch_size: int) -> Iterator[Batch]:
    """The samples of `batches` where `keep` is true, in their order, `batch_size` of them at a time."""
    held: dict[str, Tensor] = {}
    for batch, kept in zip(batches, keep, strict=True):
        chosen = {name: tensor[kept] for name, tensor in batch.items()}
        held = {name: torch.cat([held[name], tensor]) if held else tensor for name, tensor in chosen.items()}
        while len(next(iter(held.values()))) >= batch_size:
            yield {name: tensor[:batch_size] for name, tensor in held.items()}
            held = {name: tensor[batch_size:] for name, tensor in held.items()}
    if held and len(next(iter(held.values()))):
        yield held
