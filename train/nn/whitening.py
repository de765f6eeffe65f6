"""A bank of vectors compared by Mahalanobis' distance along the directions in which vectors spread."""

from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .gaussian import ShrunkCovariance
from .nearest_neighbours import nearest, queries_at_once
from .subspace import principal_directions


class WhitenedNeighbours(nn.Module):
    """Distance of vectors from the nearest of a bank, both whitened: in units of the spread along each of the principal
    directions. The bank holds whitened vectors.

    Raises:
        ValueError: if a bank is loaded that is of another width than what is whitened.
    """

    mean: Tensor
    whitening: Tensor
    bank: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("whitening", torch.zeros(0, width))
        self.register_buffer("bank", torch.zeros(0, 0))
        self.register_load_state_dict_post_hook(_require_one_width)  # type: ignore[no-untyped-call]

    def use(self, statistics: ShrunkCovariance, *, variance: float, shrinkage: float) -> Self:
        """Whiten by these from now on: along as many directions as hold a share `variance` of it all, and of each
        direction's own variance a share `shrinkage` is replaced by their mean."""
        variances, directions = principal_directions(statistics.unshrunk, share=variance)
        shrunk = (1 - shrinkage) * variances + shrinkage * variances.mean()
        self.mean.copy_(statistics.mean)
        self.whitening = (directions.T / shrunk.sqrt().unsqueeze(1)).float().to(self.mean.device)
        return self

    def whitened(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, "vectors kept"]:
        return (vectors.float() - self.mean) @ self.whitening.T

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        """Distance of each, in float32 whatever the arithmetic of the rest."""
        with torch.autocast(vectors.device.type, enabled=False):
            parts = torch.split(vectors, queries_at_once(self.bank, num=1))
            return torch.cat([nearest(self.whitened(part), self.bank, num=1)[0][:, 0].sqrt() for part in parts])


def _require_one_width(module: nn.Module, keys: object) -> None:
    assert isinstance(module, WhitenedNeighbours)
    if len(module.whitening) != module.bank.shape[1]:
        raise ValueError(f"it whitens to {len(module.whitening)} numbers, and its bank has {module.bank.shape[1]}")
