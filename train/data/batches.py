"""Batches of samples: where they come from, and their order in an epoch."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from ..types import Batch

_SMALLEST_BATCH = 2  # losses that compare the samples of a batch need two
_ROWS_OF_A_PART = 64

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
        """The batches of `order`; where `arrays` are named, of these, their presence, and targets of these names.

        A batch is not to be changed, and holds until the next is asked for.
        """


def shuffled_batches(num_samples: int, *, batch_size: int, generator: torch.Generator) -> Order:
    """Every sample once, in random order; a last batch of a single sample is left out."""
    batches = torch.split(torch.randperm(num_samples, generator=generator), batch_size)
    return [batch for batch in batches if len(batch) >= _SMALLEST_BATCH]


def balanced_batches(labels: Int64[Tensor, " samples"], *, batch_size: int, generator: torch.Generator) -> Order:
    """As many samples as there are, drawn with replacement so that each label is as likely as any other, however rare;
    as many batches as `shuffled_batches` gives."""
    _, places, counts = torch.unique(labels, return_inverse=True, return_counts=True)
    chances = (1 / counts.double())[places]
    drawn = torch.multinomial(chances, len(labels), replacement=True, generator=generator)
    return [batch for batch in torch.split(drawn, batch_size) if len(batch) >= _SMALLEST_BATCH]


def paired_batches(labels: Int64[Tensor, " samples"], *, batch_size: int, generator: torch.Generator) -> Order:
    """Batches as many and as large as those of `shuffled_batches`, in which each label that is there is there twice at
    least, and about as often as the others.

    Labels take turns, and so do the samples of each; a label of one sample has it twice.
    """
    values = torch.unique(labels)
    samples = [_Turns(torch.nonzero(labels == value).squeeze(1), generator) for value in values]
    labels_in_turn = _Turns(torch.arange(len(values)), generator)
    batches = []
    for size in map(len, torch.split(labels, batch_size)):
        if size < _SMALLEST_BATCH:
            continue
        chosen = labels_in_turn.take(min(len(values), size // 2)).tolist()
        each, rest = divmod(size, len(chosen))
        batch = torch.cat([samples[label].take(each + (place < rest)) for place, label in enumerate(chosen)])
        batches.append(batch[torch.randperm(size, generator=generator)])
    return batches


class _Turns:
    """Entries in random order, each once before any comes again."""

    def __init__(self, entries: Int64[Tensor, " _"], generator: torch.Generator) -> None:
        self._entries = entries
        self._generator = generator
        self._deck = entries[:0]

    def take(self, num: int) -> Int64[Tensor, " num"]:
        while len(self._deck) < num:
            shuffled = self._entries[torch.randperm(len(self._entries), generator=self._generator)]
            self._deck = torch.cat([self._deck, shuffled])
        taken, self._deck = self._deck[:num], self._deck[num:]
        return taken


def num_shuffled_batches(num_samples: int, *, batch_size: int) -> int:
    """How many batches `shuffled_batches` gives."""
    full, rest = divmod(num_samples, batch_size)
    return full + (rest >= _SMALLEST_BATCH)


def batches_in_order(num_samples: int, *, batch_size: int) -> Order:
    """Every sample once, in the order in which they stand."""
    return list(torch.split(torch.arange(num_samples), batch_size)) if num_samples else []


def parts_in_order(num_samples: int) -> Order:
    """Every sample once, in parts of a fixed size: neither the batch size nor the way of loading changes what is
    measured or drawn of them."""
    return batches_in_order(num_samples, batch_size=_ROWS_OF_A_PART)
