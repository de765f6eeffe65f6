"""A coreset: vectors chosen so that none of the others is far from one of them."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

_COMPARED_WIDTH = 128  # numbers of a vector that are compared while choosing; wider ones are projected at random


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
    nearest = torch.full((len(vectors),), torch.inf, device=vectors.device)
    for place in range(1, size):
        last = chosen[place - 1]
        # |a - b|^2 = |a|^2 - 2 a.b + |b|^2
        nearest = torch.minimum(nearest, squares - 2 * (compared @ compared[last]) + squares[last])
        nearest[last] = -torch.inf  # rounding must not choose it twice
        chosen[place] = nearest.argmax()
    return chosen
