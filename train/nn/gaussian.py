"""One Gaussian over vectors: its mean and its shrunk covariance from a single pass, and distances from it."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

_VALUES_AT_ONCE = 2**21  # so that few of the half-precision features are ever in memory in double precision


class ShrunkCovariance:
    """Mean and covariance of a stream of vectors, shrunk towards a multiple of the identity as Ledoit and Wolf do
    (A well-conditioned estimator for large-dimensional covariance matrices, J. Multivariate Anal. 88, 2004).

    How far it is shrunk depends on the fourth moment sum |x - mean|^4, and the mean is known at the end alone. With
    a = |x|^2 and m the mean, |x - m|^2 = a - 2 x.m + |m|^2, whose square summed over x needs no more than the sums of
    1, x, x x', a x and a^2: so one pass is enough. All x are taken from the mean of the first part, so that a large
    offset does not eat the digits, and summed in float64.
    """

    def __init__(self, width: int) -> None:
        self.count = 0
        self._origin = torch.zeros(width, dtype=torch.float64)
        self._sum = torch.zeros(width, dtype=torch.float64)
        self._products = torch.zeros(width, width, dtype=torch.float64)
        self._weighted = torch.zeros(width, dtype=torch.float64)  # sum of a x
        self._fourth = torch.zeros((), dtype=torch.float64)  # sum of a^2

    def add(self, vectors: Float[Tensor, "more width"]) -> None:
        """Take more vectors in."""
        if vectors.device.type == "mps":
            vectors = vectors.cpu()  # has float64
        for part in torch.split(vectors, max(1, _VALUES_AT_ONCE // vectors.shape[-1])):
            if len(part):
                self._add(part.double())

    def _add(self, part: Float64[Tensor, "more width"]) -> None:
        if not self.count:
            self._origin = part.mean(dim=0).cpu()
        moved = part - self._origin.to(part.device)
        squares = moved.square().sum(dim=1)
        self.count += len(part)
        self._sum += moved.sum(dim=0).cpu()
        self._products += (moved.T @ moved).cpu()
        self._weighted += (squares @ moved).cpu()
        self._fourth += squares.square().sum().cpu()

    @property
    def mean(self) -> Float64[Tensor, " width"]:
        """Mean vector."""
        return self._origin + self._sum / self.count

    @property
    def shrinkage(self) -> float:
        """Share of the covariance that is replaced by its mean variance on the diagonal, from 0 to 1."""
        covariance, width = self.unshrunk, len(self._sum)
        variance = covariance.trace() / width
        spread = (covariance.square().sum() - width * variance.square()) / width  # around the identity's multiple
        noise = (self._fourth_central() / self.count - covariance.square().sum()) / (width * self.count)
        noise = torch.minimum(noise, spread)  # no more than all of it
        return 0.0 if noise <= 0 else float(noise / spread)

    @property
    def covariance(self) -> Float64[Tensor, "width width"]:
        """Covariance (population form), shrunk."""
        covariance, shrinkage = self.unshrunk, self.shrinkage
        shrunk = (1 - shrinkage) * covariance
        shrunk.diagonal().add_(shrinkage * covariance.trace() / len(covariance))
        return shrunk

    @property
    def unshrunk(self) -> Float64[Tensor, "width width"]:
        """Covariance (population form) as it is."""
        mean = self._sum / self.count
        return self._products / self.count - torch.outer(mean, mean)

    def _fourth_central(self) -> Float64[Tensor, ""]:
        """Sum of |x - mean|^4."""
        mean = self._sum / self.count
        square = mean @ mean
        return (
            self._fourth
            + 4 * mean @ self._products @ mean
            - 4 * mean @ self._weighted
            + 2 * square * self._products.trace()
            - 4 * square * (mean @ self._sum)
            + self.count * square.square()
        )


class Mahalanobis(nn.Module):
    """Distance of vectors from a Gaussian, in its standard deviations; by Euclid from the origin until it has one."""

    mean: Tensor
    whitening: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.eye(width))

    def use(self, statistics: ShrunkCovariance, *, unit: Float64[Tensor, " width"] | None = None) -> None:
        """Measure by these from now on, which are of vectors divided by `unit`.

        Raises:
            ValueError: if there is a direction in which the vectors do not spread, and nothing was shrunk.
        """
        factor, failed = torch.linalg.cholesky_ex(statistics.covariance)
        if failed:
            raise ValueError("the covariance has no inverse")
        identity = torch.eye(len(factor), dtype=factor.dtype)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        self.mean.copy_(statistics.mean if unit is None else statistics.mean * unit)
        self.whitening.copy_(whitening if unit is None else whitening / unit)

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        """Distance of each vector, in float32 whatever the arithmetic of the rest."""
        with torch.autocast(vectors.device.type, enabled=False):
            whitened = (vectors.float() - self.mean) @ self.whitening.T
            distances: Tensor = torch.linalg.vector_norm(whitened, dim=1)
            return distances
