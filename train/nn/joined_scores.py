"""Scores of several detectors as one, each in units of its own spread on normal samples that it was not fitted to."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .one_class_svm import OneClassBoundary

FusedBy = Literal["mean", "min", "max", "product", "svm"]
"""How the scores of any models become one."""
Combine = Literal["excess", "sum", "mean", "min", "max", "product", "svm"]
"""How the scores of detectors become one that are fitted together."""

NU = 0.1  # share of normals that may lie outside a boundary around their scores
_LEAST_RATIO = 1e-12  # of a score to the mean of normals


class ScoreMoments:
    """Sums over rows of the scores of several members, and of their products; NaN where a member has no score."""

    def __init__(self, num_members: int) -> None:
        self._origin: Tensor | None = None  # of each member, so that large scores that hardly differ keep their digits
        self._count = torch.zeros(num_members, num_members, dtype=torch.float64)
        self._sum = torch.zeros(num_members, num_members, dtype=torch.float64)  # of a row's member, where a column's is
        self._products = torch.zeros(num_members, num_members, dtype=torch.float64)
        self.lowest = torch.full((num_members,), torch.inf, dtype=torch.float64)

    def add(self, scores: Float[Tensor, "rows members"]) -> None:
        """Take more rows in."""
        exact = scores.detach().cpu().double()
        if self._origin is None:
            self._origin = exact.nanmean(dim=0).nan_to_num()
        there = (~exact.isnan()).double()
        moved = (exact - self._origin).nan_to_num()
        self._count += there.T @ there
        self._sum += moved.T @ there
        self._products += moved.T @ moved
        self.lowest = torch.minimum(self.lowest, exact.nan_to_num(nan=torch.inf).amin(dim=0))

    @property
    def count(self) -> Tensor:
        """In how many rows each member has a score."""
        return self._count.diagonal()

    @property
    def mean(self) -> Tensor:
        """Mean score of each member."""
        assert self._origin is not None
        return self._origin + self._sum.diagonal() / self.count

    @property
    def std(self) -> Tensor:
        """Standard deviation (population form) of each member's scores."""
        variance = self._products.diagonal() / self.count - (self._sum.diagonal() / self.count).square()
        return variance.clamp(min=0).sqrt()

    @property
    def correlation(self) -> Tensor:
        """Of each two members, over the rows that have scores of both, from 0 to 1: negative ones, and those of members
        that are never together, count as 0."""
        number = self._count.clamp(min=1)
        covariance = self._products / number - (self._sum / number) * (self._sum.T / number)
        correlation = covariance / torch.outer(self.std, self.std)
        return correlation.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(0, 1).fill_diagonal_(1.0)


def combined(
    standard: Float[Tensor, "batch members"],
    by: FusedBy,
    *,
    mean: Float[Tensor, " members"],
    std: Float[Tensor, " members"],
    boundary: OneClassBoundary | None = None,
) -> Float[Tensor, " batch"]:
    """Standard scores as one, of those that a row has; NaN where it has none.

    `mean` and `std` are those that made them standard. By `min` all members have to find a row strange, by `max` one
    alone. By `product` it is the geometric mean of the scores, each in units of its mean on normals, which is for
    scores above 0. By `svm` it is how far outside the `boundary` around those of normals a row lies; a score that it
    has not is taken for the mean of normals.
    """
    there = ~standard.isnan()
    if by == "min":
        scores = standard.masked_fill(~there, torch.inf).amin(dim=1)
    elif by == "max":
        scores = standard.masked_fill(~there, -torch.inf).amax(dim=1)
    elif by == "mean":
        scores = standard.nan_to_num().sum(dim=1) / there.sum(dim=1)
    elif by == "product":
        logarithms = (1 + standard * std / mean).clamp(min=_LEAST_RATIO).log()
        scores = (torch.where(there, logarithms, 0.0).sum(dim=1) / there.sum(dim=1)).exp()
    else:
        assert boundary is not None
        scores = boundary(standard.nan_to_num())
    return scores.masked_fill(~there.any(dim=1), torch.nan)


class JoinedScores(nn.Module):
    """Detectors side by side, whose standard scores become one; members whose spread is not known are left out.

    By `excess` it is the root of the mean square of what is above the mean of normals: one member that finds a sample
    strange is heard although all others take it for usual. By `sum` it is their sum in units of its own spread, which
    follows from how the scores correlate on normals. Either way, the score from those that a row has is on one scale
    with the score from all. Of the other ways `combined` tells.
    """

    mean: Tensor
    std: Tensor
    correlation: Tensor  # of a `sum`, which alone reads it

    def __init__(self, members: nn.ModuleList, *, combine: Combine) -> None:
        super().__init__()
        self.members = members
        self.combine = combine
        self.register_buffer("mean", torch.zeros(len(members)))
        self.register_buffer("std", torch.zeros(len(members)))
        self.register_buffer("correlation", torch.eye(len(members)))
        self.boundary = OneClassBoundary(len(members)) if combine == "svm" else None

    @property
    def known(self) -> Bool[Tensor, " members"]:
        """Whose scores have a unit."""
        return self.std > 0

    def use(self, moments: ScoreMoments, *, known: Bool[Tensor, " members"]) -> None:
        """Take the units from these, of the members that are `known`."""
        self.mean.copy_(torch.where(known, moments.mean, 0.0))
        self.std.copy_(torch.where(known, moments.std, 0.0))
        if self.combine == "sum":
            self.correlation.copy_(moments.correlation)

    def bound(self, scores: Float[Tensor, "rows members"]) -> None:
        """Find the boundary of a `svm` around scores of normals, once their units are known."""
        if self.boundary is not None:
            self.boundary.learn(self.standard(scores.to(self.mean.device)).nan_to_num(), nu=NU)

    def standard(self, scores: Float[Tensor, "batch members"]) -> Float[Tensor, "batch members"]:
        """Each score in standard deviations from the mean of normals; NaN where there is none."""
        return torch.where(self.known, (scores - self.mean) / self.std, torch.nan)

    def forward(self, standard: Float[Tensor, "batch members"]) -> Float[Tensor, " batch"]:
        """The standard scores that a row has as one; NaN where it has none."""
        there = (~standard.isnan()).float()
        if self.combine == "excess":
            mean_square: Tensor = standard.nan_to_num().clamp(min=0).square().sum(dim=1) / there.sum(dim=1)
            return mean_square.sqrt()
        if self.combine != "sum":
            return combined(standard, self.combine, mean=self.mean, std=self.std, boundary=self.boundary)
        # Sums and not matrix products, whose rounding may depend on how many rows there are.
        both = there.unsqueeze(1) * there.unsqueeze(2) * self.correlation
        total: Tensor = standard.nan_to_num().sum(dim=1)
        return total / both.sum(dim=(1, 2)).sqrt()
