"""The subspace that normal vectors lie in, and how far others lie from it."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn


class TwoPassCovariance:
    """Mean of a stream of vectors in a first pass, covariance around it in a second, in float64.

    What is left of a direction in which vectors hardly spread is then no rounding error of larger ones.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self._seen = 0
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)

    @property
    def mean(self) -> Float64[Tensor, " width"]:
        return self._sum / self.count

    @property
    def covariance(self) -> Float64[Tensor, "width width"]:
        """Population form, of what the second pass has shown so far."""
        return self._products / self._seen

    def add_to_mean(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take more vectors in, on the first pass."""
        self.count += len(vectors)
        self._sum += vectors.double().sum(dim=0).cpu()

    def add_to_covariance(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take the same vectors in again, on the second pass, once all have been in the first."""
        moved = vectors.double() - self.mean.to(vectors.device)
        self._seen += len(vectors)
        self._products += (moved.T @ moved).cpu()


def principal_directions(
    covariance: Float64[Tensor, "width width"], *, share: float
) -> tuple[Float64[Tensor, " kept"], Float64[Tensor, "width kept"]]:
    """The fewest directions that hold a `share` of the variance, of which the largest is first, and theirs."""
    variances, directions = torch.linalg.eigh(covariance)
    variances, directions = variances.flip(0).clamp(min=0), directions.flip(1)
    held = variances.cumsum(dim=0) / variances.sum()
    # Rounding may leave the sum of all below a share of 1.
    kept = min(int((held < share).sum()) + 1, len(variances))
    return variances[:kept], directions[:, :kept]


class Subspace(nn.Module):
    """Squared distance of vectors from a subspace through their mean."""

    mean: Tensor
    directions: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("directions", torch.zeros(0, width))

    def use(self, statistics: TwoPassCovariance, *, share: float) -> None:
        """Lie along the fewest directions that hold a `share` of the variance."""
        _, directions = principal_directions(statistics.covariance, share=share)
        self.mean.copy_(statistics.mean)
        self.directions = directions.T.float().contiguous().to(self.mean.device)

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        """In float32 whatever the arithmetic of the rest."""
        with torch.autocast(vectors.device.type, enabled=False):
            moved = vectors.float() - self.mean
            # Not the difference of two squares, most of whose digits would cancel.
            return (moved - moved @ self.directions.T @ self.directions).square().sum(dim=1)
