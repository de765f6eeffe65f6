"""Nearest neighbours in a bank of vectors, searched in blocks: the memory that it takes grows with neither."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

Metric = Literal["cosine", "l2"]

_BANK_AT_ONCE = 2**14  # vectors of the bank that are searched together
_VALUES_AT_ONCE = 2**22  # products or differences in memory at a time: 16 MB of float32, no slower than more of them
_LEAST_UNIT = 1e-6  # of the mean unit


class Reservoir:
    """A fair sample of a stream of vectors that keeps at most `limit` of them, whatever the stream's length.

    Every vector draws a random number, and those with the smallest stay: each subset of that size is equally likely.
    """

    def __init__(self, width: int, *, limit: int, generator: torch.Generator) -> None:
        self.seen = 0
        self._limit = limit
        self._generator = generator
        # In parts while there is room: put together with each of them, all that is kept would be copied each time.
        self._kept = [torch.empty(0, width)]
        self._draws = [torch.empty(0, dtype=torch.float64)]  # in which no two of a billion are equal

    @property
    def vectors(self) -> Float[Tensor, "kept width"]:
        """The sample; all that was seen where this is within the limit."""
        return self._whole()[0]

    def _whole(self) -> tuple[Float[Tensor, "kept width"], Float[Tensor, " kept"]]:
        """What is kept, and what it drew, in one part each."""
        if len(self._kept) > 1:
            self._kept, self._draws = [torch.cat(self._kept)], [torch.cat(self._draws)]
        return self._kept[0], self._draws[0]

    def add(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take more of the stream in."""
        draws = torch.rand(len(vectors), dtype=torch.float64, generator=self._generator)
        room = max(0, self._limit - self.seen)
        self.seen += len(vectors)
        if room:  # a copy, as nobody says that the stream does not use its memory again
            self._kept.append(vectors[:room].to("cpu", torch.float32, copy=True))
            self._draws.append(draws[:room])
        if len(vectors) > room:
            self._exchange(vectors[room:], draws[room:])

    def _exchange(self, vectors: Float[Tensor, "more width"], draws: Tensor) -> None:
        """Put those that drew less into the places of those that drew most: in place, as the sample may be large."""
        kept, drawn = self._whole()
        stay = torch.zeros(self._limit + len(draws), dtype=torch.bool)
        stay[torch.cat([drawn, draws]).topk(self._limit, largest=False).indices] = True
        places, chosen = torch.nonzero(~stay[: self._limit]).squeeze(1), stay[self._limit :]
        kept[places] = vectors[chosen.to(vectors.device)].float().cpu()
        drawn[places] = draws[chosen]


def nearest(
    queries: Float[Tensor, "queries width"],
    bank: Float[Tensor, "bank width"],
    *,
    num: int,
    unit: Float[Tensor, " bank"] | None = None,
) -> tuple[Float[Tensor, "queries num"], Int64[Tensor, "queries num"]]:
    """Squared distances from the nearest vectors of the bank, nearest first, and their places in it; `queries` are as
    many as memory holds products of.

    With a `unit` for each vector of the bank, squared distances are in that of the one they are from.
    """
    closeness, places = [], []
    for number, block in enumerate(torch.split(bank, _BANK_AT_ONCE)):
        # |q - b|^2 = |q|^2 - 2 (q.b - |b|^2 / 2), and |q|^2 is the same for all of the bank
        products = torch.addmm(-block.square().sum(dim=1) / 2, queries, block.T)
        if unit is not None:
            units = torch.split(unit, _BANK_AT_ONCE)[number]
            products = (products - queries.square().sum(dim=1, keepdim=True) / 2) / units
        closest = products.topk(min(num, len(block)), dim=1)
        closeness.append(closest.values)
        places.append(closest.indices + number * _BANK_AT_ONCE)
    chosen = torch.cat(closeness, dim=1).topk(num, dim=1).indices
    found = torch.cat(places, dim=1).gather(1, chosen)
    # Products find the neighbours; their distances are those of the differences, in which no digits cancel.
    squared = (queries.unsqueeze(1) - bank[found]).square().sum(dim=-1)
    return (squared if unit is None else squared / unit[found]), found


def nearest_others(
    bank: Float[Tensor, "bank width"], *, num: int
) -> tuple[Float[Tensor, "bank num"], Int64[Tensor, "bank num"]]:
    """As `nearest`, of each vector of a bank among the others."""
    assert num < len(bank)
    squared, places = [], []
    for start in range(0, len(bank), step := queries_at_once(bank, num=num + 1)):
        queries = bank[start : start + step]
        found, where = nearest(queries, bank, num=num + 1)
        own = where == torch.arange(start, start + len(queries), device=bank.device).unsqueeze(1)
        # One that is there twice may not have found itself; then the furthest is left out.
        own[:, -1] |= ~own.any(dim=1)
        squared.append(found[~own].reshape(-1, num))
        places.append(where[~own].reshape(-1, num))
    return torch.cat(squared), torch.cat(places)


def queries_at_once(bank: Float[Tensor, "bank width"], *, num: int) -> int:
    """How many vectors are searched together: their products with a block of the bank, or the differences from `num`
    neighbours, are then within what memory is given."""
    return max(1, _VALUES_AT_ONCE // max(min(len(bank), _BANK_AT_ONCE), num * bank.shape[1]))


class NearestNeighbours(nn.Module):
    """Distance of vectors from a bank: the mean over the nearest `num_neighbours`, by Euclid or as 1 - cosine.

    With `density_neighbours` above 0 a distance is in units of the mean distance that the bank's vector has from so
    many others of the bank, and the nearest are so by that: Wilkinghoff et al., "Local density-based anomaly score
    normalization for domain generalization" (arXiv 2509.10951).

    The bank is empty, of no rows, until it is filled or loaded.

    Raises:
        ValueError: if a bank is loaded that has fewer vectors than neighbours are asked for.
    """

    centre: Tensor
    bank: Tensor
    unit: Tensor

    def __init__(self, width: int, *, num_neighbours: int, metric: Metric, density_neighbours: int = 0) -> None:
        super().__init__()
        self.num_neighbours = num_neighbours
        self.density_neighbours = density_neighbours
        self.metric = metric
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("bank", torch.zeros(0, width))
        if density_neighbours:
            self.register_buffer("unit", torch.zeros(0, 1))
        self.register_load_state_dict_post_hook(_require_neighbours)  # type: ignore[no-untyped-call]

    def fill(self, vectors: Float[Tensor, "bank width"]) -> None:
        """Compare with these from now on.

        Raises:
            ValueError: if densities are asked for and all vectors are equal.
        """
        assert len(vectors) >= self.num_neighbours
        if self.metric == "l2":  # which a common offset does not change; without it the products keep their digits
            self.centre.copy_(vectors.double().mean(dim=0))
        self.bank = self.placed(vectors.to(self.centre.device))
        if self.density_neighbours:
            squared, _ = nearest_others(self.bank, num=self.density_neighbours)
            unit = self.distances(squared).mean(dim=1, keepdim=True)
            if not unit.any():
                raise ValueError("all vectors are equal")
            # Of one that is there many times nothing would be near but itself.
            self.unit = unit.clamp(min=_LEAST_UNIT * float(unit.mean()))

    def forward(self, vectors: Float[Tensor, "queries width"]) -> Float[Tensor, " queries"]:
        """Distance of each vector, in float32 whatever the arithmetic of the rest."""
        return self.search(vectors)[0].mean(dim=1)

    def search(
        self, vectors: Float[Tensor, "queries width"]
    ) -> tuple[Float[Tensor, "queries neighbours"], Int64[Tensor, "queries neighbours"]]:
        """Distances from the nearest `num_neighbours`, nearest first, and their places in the bank; in float32."""
        unit = None
        if self.density_neighbours:  # of squared distances, which by Euclid are those of distances squared
            unit = self.unit[:, 0].square() if self.metric == "l2" else self.unit[:, 0]
        at_once = queries_at_once(self.bank, num=self.num_neighbours)
        with torch.autocast(vectors.device.type, enabled=False):
            found = [
                nearest(self.placed(part), self.bank, num=self.num_neighbours, unit=unit)
                for part in torch.split(vectors, at_once)
            ]
            squared, places = (torch.cat(part) for part in zip(*found, strict=True))
            return self.distances(squared), places

    def left_out(self) -> Float[Tensor, " bank"]:
        """Distance of each vector of the bank from the others; not in units of density, in which it has a part."""
        assert not self.density_neighbours
        squared, _ = nearest_others(self.bank, num=self.num_neighbours)
        return self.distances(squared).mean(dim=1)

    def weights(self, vectors: Float[Tensor, "queries width"], *, num: int) -> Float[Tensor, " queries"]:
        """How much the distance of each vector says: 1 less the share that it has, as exponentials, of its distances
        from the nearest of the bank and those around that one, `num` in all.

        Where these are as near as the nearest itself, usual vectors vary in all directions: 1 - 1 / num. Roth et al.,
        "Towards Total Recall in Industrial Anomaly Detection" (CVPR 2022), equation 7.
        """
        num = min(num, len(self.bank))
        with torch.autocast(vectors.device.type, enabled=False):
            parts = torch.split(vectors, queries_at_once(self.bank, num=num))
            return torch.cat([self._weights(self.placed(part), num=num) for part in parts])

    def _weights(self, queries: Float[Tensor, "queries width"], *, num: int) -> Float[Tensor, " queries"]:
        squared, places = nearest(queries, self.bank, num=1)
        _, around = nearest(self.bank[places[:, 0]], self.bank, num=num)
        others = (queries.unsqueeze(1) - self.bank[around]).square().sum(dim=-1)
        shares = (self.distances(squared[:, 0]) - self.distances(others).logsumexp(dim=1)).exp()
        return 1 - shares

    def distances(self, squared: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """What squared distances of `placed` vectors come to in the metric."""
        # Of vectors of length 1, half the squared distance is 1 - cosine.
        return squared / 2 if self.metric == "cosine" else squared.sqrt()

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
    if module.density_neighbours:
        require_as_many(module.bank, {"unit": module.unit})


def require_as_many(rows: Tensor, others: Mapping[str, Tensor]) -> None:
    """Refuse tensors that a file gives other numbers of rows than what they say something of has.

    Raises:
        ValueError: names one.
    """
    for name, other in others.items():
        if len(other) != len(rows):
            raise ValueError(f"there are {len(rows):,} vectors, and {name} is of {len(other):,}")
