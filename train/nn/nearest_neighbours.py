"""Nearest neighbours in a bank of vectors, searched in blocks: the memory that it takes grows with neither."""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

Metric = Literal["cosine", "l2"]

_BANK_AT_ONCE = 2**14  # vectors of the bank that are searched together
_VALUES_AT_ONCE = 2**24  # products or differences in memory at a time: 64 MB of float32


class Reservoir:
    """A fair sample of a stream of vectors that keeps at most `limit` of them, whatever the stream's length.

    Every vector draws a random number, and those with the smallest stay: each subset of that size is equally likely.
    """

    def __init__(self, width: int, *, limit: int, generator: torch.Generator) -> None:
        self.seen = 0
        self._limit = limit
        self._generator = generator
        self._kept = torch.empty(0, width)
        self._draws = torch.empty(0, dtype=torch.float64)  # in which no two of a billion are equal

    @property
    def vectors(self) -> Float[Tensor, "kept width"]:
        """The sample; all that was seen where this is within the limit."""
        return self._kept

    def add(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take more of the stream in."""
        self.seen += len(vectors)
        draws = torch.rand(len(vectors), dtype=torch.float64, generator=self._generator)
        room = self._limit - len(self._kept)
        self._kept = torch.cat([self._kept, vectors[:room].float().cpu()])
        self._draws = torch.cat([self._draws, draws[:room]])
        if len(vectors) > room:
            self._exchange(vectors[room:], draws[room:])

    def _exchange(self, vectors: Float[Tensor, "more width"], draws: Tensor) -> None:
        """Put those that drew less into the places of those that drew most: in place, as the sample may be large."""
        stay = torch.zeros(self._limit + len(draws), dtype=torch.bool)
        stay[torch.cat([self._draws, draws]).topk(self._limit, largest=False).indices] = True
        places, chosen = torch.nonzero(~stay[: self._limit]).squeeze(1), stay[self._limit :]
        self._kept[places] = vectors[chosen.to(vectors.device)].float().cpu()
        self._draws[places] = draws[chosen]


class NearestNeighbours(nn.Module):
    """Distance of vectors from a bank: the mean over the nearest `num_neighbours`, by Euclid or as 1 - cosine.

    The bank is empty, of no rows, until it is filled or loaded.

    Raises:
        ValueError: if a bank is loaded that has fewer vectors than neighbours are asked for.
    """

    centre: Tensor
    bank: Tensor

    def __init__(self, width: int, *, num_neighbours: int, metric: Metric) -> None:
        super().__init__()
        self.num_neighbours = num_neighbours
        self.metric = metric
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("bank", torch.zeros(0, width))
        self.register_load_state_dict_post_hook(_require_neighbours)  # type: ignore[no-untyped-call]

    def fill(self, vectors: Float[Tensor, "bank width"]) -> None:
        """Compare with these from now on."""
        assert len(vectors) >= self.num_neighbours
        if self.metric == "l2":  # which a common offset does not change; without it the products keep their digits
            self.centre.copy_(vectors.double().mean(dim=0))
        self.bank = self.placed(vectors.to(self.centre.device))

    def forward(self, vectors: Float[Tensor, "queries width"]) -> Float[Tensor, " queries"]:
        """Distance of each vector, in float32 whatever the arithmetic of the rest."""
        width = vectors.shape[-1]
        at_once = max(1, _VALUES_AT_ONCE // max(min(len(self.bank), _BANK_AT_ONCE), self.num_neighbours * width))
        with torch.autocast(vectors.device.type, enabled=False):
            return torch.cat([self._distances(self.placed(part)) for part in torch.split(vectors, at_once)])

    def _distances(self, queries: Float[Tensor, "queries width"]) -> Float[Tensor, " queries"]:
        """Products find the neighbours; their distances are those of the differences, in which no digits cancel."""
        differences = queries.unsqueeze(1) - self.bank[self._nearest(queries)]
        squared = differences.square().sum(dim=-1)
        # Of vectors of length 1, half the squared distance is 1 - cosine.
        return (squared / 2 if self.metric == "cosine" else squared.sqrt()).mean(dim=1)

    def _nearest(self, queries: Float[Tensor, "queries width"]) -> Int64[Tensor, "queries neighbours"]:
        """Places in the bank."""
        closeness, places = [], []
        for number, block in enumerate(torch.split(self.bank, _BANK_AT_ONCE)):
            # |q - b|^2 = |q|^2 - 2 (q.b - |b|^2 / 2), and |q|^2 is the same for all of the bank
            products = torch.addmm(-block.square().sum(dim=1) / 2, queries, block.T)
            closest = products.topk(min(self.num_neighbours, len(block)), dim=1)
            closeness.append(closest.values)
            places.append(closest.indices + number * _BANK_AT_ONCE)
        chosen = torch.cat(closeness, dim=1).topk(self.num_neighbours, dim=1).indices
        return torch.cat(places, dim=1).gather(1, chosen)

    def placed(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, "vectors width"]:
        """Vectors as they are compared: around the bank's centre, or of length 1."""
        if self.metric == "cosine":
            return nn.functional.normalize(vectors.float(), dim=-1)
        return vectors.float() - self.centre


class NeighboursOfParts(NearestNeighbours):
    """The nearest neighbour of vectors that are made of several parts, each in units of its own spread.

    Else the part with the largest numbers would decide alone: distances of one network's stages are of any size.
    """

    scale: Tensor

    def __init__(self, widths: Sequence[int], *, metric: Metric) -> None:
        super().__init__(sum(widths), num_neighbours=1, metric=metric)
        self._widths = list(widths)
        self.register_buffer("scale", torch.ones(sum(widths)))

    def measure(self, vectors: Float[Tensor, "vectors width"]) -> None:
        """Take the spread of each part from these: the root of its summed variance. A part that never differs has none,
        and stays as it is."""
        spreads = [
            part.var(dim=0, correction=0).sum().sqrt() for part in torch.split(vectors.double(), self._widths, dim=1)
        ]
        scales = [1 / spread if spread > 0 else torch.ones_like(spread) for spread in spreads]
        self.scale.copy_(torch.repeat_interleave(torch.stack(scales), torch.tensor(self._widths)))

    def placed(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, "vectors width"]:
        if self.metric == "cosine":
            return super().placed(vectors.float() * self.scale)
        return super().placed(vectors) * self.scale


def _require_neighbours(module: nn.Module, keys: object) -> None:
    assert isinstance(module, NearestNeighbours)
    if len(module.bank) < module.num_neighbours:
        raise ValueError(f"of {module.num_neighbours:,} neighbours that it asks for, its bank has {len(module.bank):,}")
