"""Folds of the training rows: what a model makes of rows that it was not fitted to is what it makes of new ones."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Int64
from torch import Tensor

from ..types import Batch


class Folds:
    """Deals rows to `number` folds of equal size, the same ones each time that they are gone through.

    A recipe is shown rows and not who they are: rows of one group may come to different folds.
    """

    def __init__(self, number: int, *, generator: torch.Generator) -> None:
        self.number = number
        self._seed = int(torch.randint(2**62, (), generator=generator))

    def deal(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Int64[Tensor, " batch"]]]:
        """The batches, and the fold of each of their rows, on their device."""
        generator, seen = torch.Generator().manual_seed(self._seed), 0
        for batch in batches:
            places = seen + torch.randperm(len(batch), generator=generator)
            yield batch, (places % self.number).to(batch.device)
            seen += len(batch)
