"""A one-class support vector machine: where a share of the vectors lies outside a boundary around the others.

scikit-learn finds the support vectors; what it found is kept as tensors, and scores follow from these.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .nearest_neighbours import require_as_many

_VALUES_AT_ONCE = 2**24  # similarities in memory at a time: 64 MB of float32


class OneClassBoundary(nn.Module):
    """How far outside vectors are, by the radial basis function: 0 on the boundary, less within.

    Schölkopf et al., "Estimating the support of a high-dimensional distribution" (Neural Computation 13, 2001).

    Attributes:
        support: the support vectors, around their mean, which keeps the digits of their products.
        weight: what each counts, (support, 1).
        offset: the sum of similarities on the boundary.
        gamma: 1 over the squared distance at which a similarity is 1 / e.
    """

    centre: Tensor
    support: Tensor
    weight: Tensor
    offset: Tensor
    gamma: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(width))
        self.register_buffer("support", torch.zeros(0, width))
        self.register_buffer("weight", torch.zeros(0, 1))
        self.register_buffer("offset", torch.zeros(()))
        self.register_buffer("gamma", torch.ones(()))
        self.register_load_state_dict_post_hook(_require_all)  # type: ignore[no-untyped-call]

    def learn(self, vectors: Float[Tensor, "vectors width"], *, nu: float) -> None:
        """Find the boundary that leaves about a share `nu` of these, which are not all equal, outside.

        Takes time and memory as the square of their number. gamma is 1 / (width x variance around their mean), which
        scikit-learn calls scale.
        """
        from sklearn.svm import OneClassSVM  # half a second to import, and scores do without

        exact = vectors.double().cpu().numpy()
        centre = exact.mean(axis=0)
        found = OneClassSVM(kernel="rbf", gamma="scale", nu=nu).fit(exact - centre)
        device = self.centre.device
        self.centre.copy_(torch.from_numpy(centre))
        self.support = torch.from_numpy(found.support_vectors_).float().to(device)
        self.weight = torch.from_numpy(found.dual_coef_.T.copy()).float().to(device)
        self.offset.fill_(-float(found.intercept_[0]))
        self.gamma.fill_(float(found._gamma))

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        """Distance of each from the boundary in sums of similarities, in float32 whatever the arithmetic is."""
        at_once = max(1, _VALUES_AT_ONCE // max(self.support.shape))
        with torch.autocast(vectors.device.type, enabled=False):
            parts = torch.split(vectors.float() - self.centre, at_once)
            return torch.cat([self.offset - self._similarity(part) for part in parts])

    def _similarity(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        norms = vectors.square().sum(dim=1, keepdim=True) + self.support.square().sum(dim=1)
        squared = (norms - 2 * vectors @ self.support.T).clamp(min=0)
        return ((-self.gamma * squared).exp() * self.weight[:, 0]).sum(dim=1)


def _require_all(module: nn.Module, keys: object) -> None:
    assert isinstance(module, OneClassBoundary)
    require_as_many(module.support, {"weight": module.weight})
