"""Pseudo-defects: normal samples whose features are moved away from those of another normal sample.

What they are is known without any defect: of each, the features of one modality, drawn by chance, go half as far again
away from what another normal sample has, x + (x - y) / 2. Such a sample is farther out than normal ones in directions
in which these differ, however large the numbers are, and what the modalities have to do with one another is broken.
Nobody knows which modality shows a defect, so each is as likely.

They are not defects. A detector that finds them looks at every modality, knows what is normal there, and is not
disturbed by sessions of their own; whether it finds what will go wrong, they do not tell.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ...train.data.batches import BatchSource, Order
from ...train.types import Batch

_FURTHER = 0.5  # of the way between the two samples


@dataclass(frozen=True, eq=False)
class Dealt:
    """Who is moved away from whom, and in which modality.

    Attributes:
        others: of each sample the place of the other one.
        modalities: of each the name of what is moved; such a name begins those of the feature sets that it has.
    """

    others: Int64[Tensor, " samples"]
    modalities: Sequence[str]

    @classmethod
    def drawn(cls, groups: Sequence[str], modalities: Sequence[str], *, generator: np.random.Generator) -> "Dealt":
        """Each sample with one of another group than its own, or with any other where there is none."""
        names = np.asarray(groups)
        others = []
        for place in range(len(names)):
            far = np.flatnonzero(names != names[place])
            others.append(generator.choice(far if len(far) else np.delete(np.arange(len(names)), place)))
        chosen = generator.integers(len(modalities), size=len(names))
        return cls(torch.tensor(others, dtype=torch.int64), [modalities[number] for number in chosen])


@dataclass(frozen=True, eq=False)
class PseudoDefects:
    """A `BatchSource` of what normal `samples` are made into."""

    samples: BatchSource
    dealt: Dealt

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def device(self) -> torch.device:
        return self.samples.device

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        theirs = self.samples.batches([self.dealt.others[places] for places in order], arrays=arrays)
        for places, batch, other in zip(order, self.samples.batches(order, arrays=arrays), theirs, strict=True):
            moved = [self.dealt.modalities[place] for place in places.tolist()]
            features = {
                name: self._moved(name, mine, other.features[name], moved) for name, mine in batch.features.items()
            }
            yield replace(batch, features=features)

    def _moved(self, name: str, mine: Tensor, other: Tensor, modalities: Sequence[str]) -> Tensor:
        """An array in which those rows are moved whose modality it is of; masks and lengths stay."""
        if not mine.is_floating_point():
            return mine
        chosen = torch.tensor([modality == modality_of(name) for modality in modalities], device=mine.device)
        further = mine.float() + _FURTHER * (mine.float() - other.float())
        return torch.where(chosen.reshape(-1, *[1] * (mine.ndim - 1)), further, mine.float()).to(mine.dtype)


def modality_of(name: str) -> str:
    """Of an array or a feature set: the name of the feature, whatever block it is of."""
    return name.partition("/")[0]
