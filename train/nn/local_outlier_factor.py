"""Local outlier factor: how much sparser it is around a vector than around its neighbours.

Breunig et al., "LOF: Identifying Density-Based Local Outliers" (SIGMOD 2000), as scikit-learn has it for vectors that
are new.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .nearest_neighbours import NearestNeighbours, nearest_others, require_as_many

_LEAST_REACH = 1e-10  # as scikit-learn: of vectors that are there many times the mean distance is 0


class LocalOutlierFactor(nn.Module):
    """Density around each vector's neighbours in a bank over that around itself; 1 is usual, more is stranger.

    Attributes:
        reach: of each vector of the bank the distance from its last neighbour among the others.
        density: of each, 1 over the mean distance at which it reaches its neighbours.
    """

    reach: Tensor
    density: Tensor

    def __init__(self, width: int, *, num_neighbours: int) -> None:
        super().__init__()
        self.neighbours = NearestNeighbours(width, num_neighbours=num_neighbours, metric="l2")
        self.register_buffer("reach", torch.zeros(0, 1))
        self.register_buffer("density", torch.zeros(0, 1))
        self.register_load_state_dict_post_hook(_require_all)  # type: ignore[no-untyped-call]

    def fill(self, vectors: Float[Tensor, "bank width"]) -> None:
        """Compare with these from now on, of which there are more than neighbours."""
        self.neighbours.fill(vectors)
        squared, places = nearest_others(self.neighbours.bank, num=self.neighbours.num_neighbours)
        distances = squared.sqrt()
        self.reach = distances[:, -1:]
        self.density = self._density(distances, self.reach[places, 0]).unsqueeze(1)

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        distances, places = self.neighbours.search(vectors)
        density = self._density(distances, self.reach[places, 0])
        return self.density[places, 0].mean(dim=1) / density

    def _density(
        self, distances: Float[Tensor, "vectors neighbours"], reach: Float[Tensor, "vectors neighbours"]
    ) -> Float[Tensor, " vectors"]:
        """By the distances from the neighbours, none of which is nearer than it reaches itself."""
        return 1 / (torch.maximum(distances, reach).mean(dim=1) + _LEAST_REACH)


def _require_all(module: nn.Module, keys: object) -> None:
    assert isinstance(module, LocalOutlierFactor)
    require_as_many(module.neighbours.bank, {"reach": module.reach, "density": module.density})
