"""Which of many vectors to keep: those that no other is far from, or as many from everywhere, dense or sparse."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from .nearest_neighbours import nearest, queries_at_once

_COMPARED_WIDTH = 128  # numbers of a vector that are compared while choosing; wider ones are projected at random
_DENSITY_AMONG = 2048  # vectors among which it is measured how dense it is around each
_DENSITY_NEIGHBOURS = 5


def greedy_coreset(
    vectors: Float[Tensor, "vectors width"], *, size: int, generator: torch.Generator
) -> Int64[Tensor, " size"]:
    """Places of `size` of the vectors: the first drawn by chance, each further one the furthest from all before it.

    Gonzalez 1985, Clustering to minimize the maximum intercluster distance: the furthest of the others is at most twice
    as far from the chosen as of the best choice. Wide vectors are compared after a random projection, which keeps
    distances nearly (Johnson and Lindenstrauss 1984). Takes `size` passes over the vectors.
    """
    assert 0 < size <= len(vectors)
    width = vectors.shape[1]
    compared = vectors.float()
    if width > _COMPARED_WIDTH:
        projection = torch.randn(width, _COMPARED_WIDTH, generator=generator) / _COMPARED_WIDTH**0.5
        compared = compared @ projection.to(vectors.device)
    squares = compared.square().sum(dim=1)
    chosen = torch.empty(size, dtype=torch.int64)
    chosen[0] = torch.randint(len(vectors), (), generator=generator)
    distance = torch.full((len(vectors),), torch.inf, device=vectors.device)  # squared, from the nearest chosen one
    for place in range(1, size):
        last = chosen[place - 1]
        # |a - b|^2 = |a|^2 - 2 a.b + |b|^2
        distance = torch.minimum(distance, squares - 2 * (compared @ compared[last]) + squares[last])
        distance[last] = -torch.inf  # rounding must not choose it twice
        chosen[place] = distance.argmax()
    return chosen


class MergedCoreset:
    """A coreset of a stream of vectors that keeps at most `size` of them: what comes is gathered, and then that and
    those before are reduced to `size` together.

    The coreset of coresets: memory holds five times `size` vectors, whatever the stream's length.
    """

    def __init__(self, width: int, *, size: int, generator: torch.Generator) -> None:
        self.seen = 0
        self._size = size
        self._generator = generator
        self._kept = torch.empty(0, width)

    def add(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take more of the stream in."""
        self.seen += len(vectors)
        for part in torch.split(vectors.float(), 4 * self._size):
            if len(self._kept) + len(part) > 5 * self._size:
                self._reduce()
            self._kept = torch.cat([self._kept.to(part.device), part])

    def coreset(self) -> Float[Tensor, "kept width"]:
        """The coreset of what was seen so far; all of it where this is within `size`."""
        self._reduce()
        return self._kept

    def _reduce(self) -> None:
        if len(self._kept) > self._size:
            self._kept = self._kept[greedy_coreset(self._kept, size=self._size, generator=self._generator)]


def even_sample(
    vectors: Float[Tensor, "vectors width"], *, size: int, generator: torch.Generator
) -> Int64[Tensor, " size"]:
    """Places of `size` of the vectors, drawn so that each one's chance is inverse to how dense it is around it: its
    mean distance from the nearest among a part of all.

    Without replacement, by exponential draws over the weights: Efraimidis and Spirakis, "Weighted random sampling with
    a reservoir" (Information Processing Letters 97, 2006).
    """
    assert 0 < size <= len(vectors)
    among = vectors[torch.randperm(len(vectors), generator=generator)[:_DENSITY_AMONG].to(vectors.device)]
    num = min(_DENSITY_NEIGHBOURS, len(among))
    at_once = queries_at_once(among, num=num)
    near = [nearest(part, among, num=num)[0].sqrt().mean(dim=1) for part in torch.split(vectors.float(), at_once)]
    draws = torch.empty(len(vectors), dtype=torch.float64).exponential_(generator=generator)
    # One that is there many times has distance 0 and comes last.
    return (draws / torch.cat(near).double().cpu().clamp(min=1e-300)).topk(size, largest=False).indices
