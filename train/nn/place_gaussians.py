"""A Gaussian for each place of a map, and distances of places from theirs."""

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn

_FEWEST = 2  # vectors of a place, below which nothing is known of it
_VALUES_AT_ONCE = 2**21  # so that few of the half-precision features are ever in memory in double precision


class PlaceStatistics:
    """Counts, sums and products of the vectors of each place, in float64, from the mean of the first part."""

    def __init__(self, places: int, width: int) -> None:
        self.count = torch.zeros(places, dtype=torch.float64)
        self._origin: Tensor | None = None
        self._sum = torch.zeros(places, width, dtype=torch.float64)
        self._products = torch.zeros(places, width, width, dtype=torch.float64)

    def add(self, maps: Float[Tensor, "maps places width"], real: Bool[Tensor, "maps places"]) -> None:
        """Take more maps in, of which some places may be padding."""
        at_once = max(1, _VALUES_AT_ONCE // maps[0].numel())
        for part, there in zip(torch.split(maps.cpu(), at_once), torch.split(real.cpu(), at_once), strict=True):
            if there.any():
                self._add(part.double(), there)

    def _add(self, values: Float64[Tensor, "maps places width"], there: Bool[Tensor, "maps places"]) -> None:
        if self._origin is None:
            self._origin = values[there].mean(dim=0)
        moved = torch.where(there.unsqueeze(-1), values - self._origin, 0.0).transpose(0, 1)
        self.count += there.sum(dim=0)
        self._sum += moved.sum(dim=1)
        self._products.baddbmm_(moved.transpose(1, 2), moved)

    def gaussians(
        self, *, regularisation: float
    ) -> tuple[Float64[Tensor, "places width"], Float64[Tensor, "places width width"]]:
        """Mean and covariance of each place (sample form), to whose diagonal a share of the mean variance is added.

        Raises:
            ValueError: if all vectors are equal.
        """
        assert self._origin is not None
        count = self.count.clamp(min=_FEWEST).reshape(-1, 1, 1)
        mean = self._sum / count[..., 0]
        covariance = (self._products - count * mean.unsqueeze(2) * mean.unsqueeze(1)) / (count - 1)
        known = self.count >= _FEWEST
        variance = covariance[known].diagonal(dim1=1, dim2=2).mean()
        if not variance > 0:
            raise ValueError("all vectors are equal")
        covariance.diagonal(dim1=1, dim2=2).add_(regularisation * variance)
        return mean + self._origin, covariance


class PlaceGaussians(nn.Module):
    """Mahalanobis distance of each vector of a map from the Gaussian of its place, by some of its numbers.

    Attributes:
        chosen: the numbers that are looked at.
        mean, whitening: of each place.
        known: places that had vectors enough; others have no distance.
    """

    chosen: Tensor
    mean: Tensor
    whitening: Tensor
    known: Tensor

    def __init__(self, width: int, *, places: int, dims: int) -> None:
        super().__init__()
        dims = min(dims, width)
        self.width = width
        self.register_buffer("chosen", torch.arange(dims))
        self.register_buffer("mean", torch.zeros(places, dims))
        self.register_buffer("whitening", torch.eye(dims).repeat(places, 1, 1))
        self.register_buffer("known", torch.zeros(places, dtype=torch.bool))
        self.register_load_state_dict_post_hook(_require_numbers)  # type: ignore[no-untyped-call]

    def choose(self, numbers: Int64[Tensor, " dims"]) -> None:
        """Look at these numbers of each vector."""
        self.chosen.copy_(numbers)

    def use(self, statistics: PlaceStatistics, *, regularisation: float) -> None:
        """Measure by these from now on.

        Raises:
            ValueError: if all vectors of each place are equal.
        """
        mean, covariance = statistics.gaussians(regularisation=regularisation)
        factor = torch.linalg.cholesky(covariance)
        identity = torch.eye(covariance.shape[1], dtype=factor.dtype).expand_as(factor)
        self.mean.copy_(mean)
        self.whitening.copy_(torch.linalg.solve_triangular(factor, identity, upper=False))
        self.known.copy_(statistics.count >= _FEWEST)

    def forward(self, maps: Float[Tensor, "maps places width"]) -> Float[Tensor, "maps places"]:
        """NaN at places of which nothing is known; in float32 whatever the arithmetic of the rest."""
        with torch.autocast(maps.device.type, enabled=False):
            moved = (maps[..., self.chosen].float() - self.mean).transpose(0, 1)
            whitened = torch.bmm(moved, self.whitening.transpose(1, 2)).transpose(0, 1)
            distances: Tensor = torch.linalg.vector_norm(whitened, dim=-1)
            return distances.masked_fill(~self.known, torch.nan)


def _require_numbers(module: nn.Module, keys: object) -> None:
    """A file may name any, and on a GPU that is no error which could be caught."""
    assert isinstance(module, PlaceGaussians)
    if ((module.chosen < 0) | (module.chosen >= module.width)).any():
        raise ValueError(f"it looks at numbers that vectors of {module.width:,} do not have")
