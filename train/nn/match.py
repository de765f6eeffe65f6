"""The match of two sides: principal components of each, a ridge regression from one to the other, and its residual."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from .gaussian import Mahalanobis, ShrunkCovariance

_LEAST_SHARE = 1e-9  # of the largest variance, below which a direction is rounding


class PrincipalComponents(nn.Module):
    """Coordinates of vectors along the directions in which they spread most, each number in units of its own spread.

    Where `whitened`, each coordinate is in units of its spread too. There are `count` of them, zero until they are
    known and where the vectors spread in fewer directions.
    """

    mean: Tensor
    directions: Tensor

    def __init__(self, width: int, *, count: int, whitened: bool) -> None:
        super().__init__()
        self.whitened = whitened
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("directions", torch.zeros(width, min(count, width)))

    def use(self, statistics: ShrunkCovariance) -> None:
        """Take the directions from these, which are of all vectors."""
        covariance, count = statistics.unshrunk, self.directions.shape[1]
        variance = covariance.diagonal()
        spreads = variance > _LEAST_SHARE * variance.amax()
        unit = torch.where(spreads, variance, 1.0).sqrt()
        along, directions = torch.linalg.eigh(covariance / torch.outer(unit, unit))
        along, directions = along.flip(0)[:count], directions.flip(1)[:, :count]
        directions = directions / unit.unsqueeze(1)
        if self.whitened:
            directions = directions / along.clamp(min=_LEAST_SHARE * along.amax()).sqrt()
        self.mean.copy_(statistics.mean)
        self.directions.copy_(torch.where(along > _LEAST_SHARE * along.amax(), directions, 0.0))

    def forward(self, vectors: Float[Tensor, "batch width"]) -> Float[Tensor, "batch count"]:
        coordinates: Tensor = (vectors.float() - self.mean) @ self.directions
        return coordinates


class Match(nn.Module):
    """How far results are from what their processes let expect, by the Mahalanobis distance of the residual.

    Attributes:
        explained: share of the variance of the result's components that the process predicts of rows that the
            regression was not fitted to; below 0 where their mean would predict better.
    """

    weight: Tensor
    bias: Tensor
    explained: Tensor

    def __init__(
        self, process: Sequence[int], result: Sequence[int], *, process_components: int, result_components: int
    ) -> None:
        super().__init__()
        self.process = nn.ModuleList(
            PrincipalComponents(width, count=process_components, whitened=True) for width in process
        )
        self.result = nn.ModuleList(
            PrincipalComponents(width, count=result_components, whitened=False) for width in result
        )
        num_process = sum(min(width, process_components) for width in process)
        num_result = sum(min(width, result_components) for width in result)
        self.register_buffer("weight", torch.zeros(num_process, num_result))
        self.register_buffer("bias", torch.zeros(num_result))
        self.register_buffer("explained", torch.zeros(()))
        self.distance = Mahalanobis(num_result)

    @property
    def sides(self) -> list[nn.Module]:
        """The components of each array, those of the process first."""
        return [*self.process, *self.result]

    def components(
        self, vectors: Sequence[Float[Tensor, "batch _"]]
    ) -> tuple[Float[Tensor, "batch process"], Float[Tensor, "batch result"]]:
        """Of process and result, from the vectors of all arrays in the order of `sides`."""
        found = [side(array) for side, array in zip(self.sides, vectors, strict=True)]
        return torch.cat(found[: len(self.process)], dim=1), torch.cat(found[len(self.process) :], dim=1)

    def forward(self, vectors: Sequence[Float[Tensor, "batch _"]]) -> Float[Tensor, " batch"]:
        """Distance of each row's result from what its process lets expect, in float32."""
        with torch.autocast(vectors[0].device.type, enabled=False):
            process, result = self.components(vectors)
            distances: Tensor = self.distance(result - (process @ self.weight + self.bias))
            return distances


class FoldedRidge:
    """Ridge regression with an intercept, of each fold from all other rows and of all rows, from sums alone.

    The sums are of the products of each row (process, result, 1) with itself, a matrix a fold, in float64.
    """

    def __init__(self, num_process: int, num_result: int, *, folds: int, alpha: float) -> None:
        width = num_process + num_result + 1
        self._num_process = num_process
        self._alpha = alpha
        self._sums = torch.zeros(folds, width, width, dtype=torch.float64)

    def add(
        self,
        process: Float[Tensor, "more process"],
        result: Float[Tensor, "more result"],
        folds: Int64[Tensor, " more"],
    ) -> None:
        """Take more rows in."""
        rows = torch.cat([process, result, torch.ones_like(process[:, :1])], dim=1).cpu().double()
        for fold, sums in enumerate(self._sums):
            chosen = rows[folds.cpu() == fold]
            sums += chosen.T @ chosen

    def without(self, fold: int) -> tuple[Float64[Tensor, "process result"], Float64[Tensor, " result"]]:
        """Weight and bias from the rows of all other folds."""
        return self._solved(self._sums.sum(dim=0) - self._sums[fold])

    def whole(self) -> tuple[Float64[Tensor, "process result"], Float64[Tensor, " result"]]:
        """Weight and bias from all rows."""
        return self._solved(self._sums.sum(dim=0))

    @property
    def result_variance(self) -> float:
        """Squared distances of the results from their mean, summed over rows."""
        return float(self._central(self._sums.sum(dim=0))[0].diagonal()[self._num_process :].sum())

    def _solved(self, sums: Float64[Tensor, "row row"]) -> tuple[Tensor, Tensor]:
        products, mean = self._central(sums)
        split = self._num_process
        penalised = products[:split, :split] + self._alpha * torch.eye(split, dtype=torch.float64)
        weight = torch.linalg.lstsq(penalised, products[:split, split:], driver="gelsd").solution
        return weight, mean[split:] - mean[:split] @ weight

    def _central(self, sums: Float64[Tensor, "row row"]) -> tuple[Tensor, Tensor]:
        """Products of what deviates from the mean, and the mean."""
        count, total = sums[-1, -1], sums[-1, :-1]
        return sums[:-1, :-1] - torch.outer(total, total) / count, total / count
