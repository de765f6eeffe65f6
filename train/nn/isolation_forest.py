"""An isolation forest: how few random cuts set a vector apart from others.

scikit-learn grows the trees; their nodes are kept as tensors, and scores follow from these.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from .nearest_neighbours import require_as_many

_VALUES_AT_ONCE = 2**22  # places of vectors in trees in memory at a time


class IsolatingTrees(nn.Module):
    """2 to the power of minus the mean depth at which trees isolate a vector, in units of the usual depth: near 1 for
    what is strange, at most about 0.5 for what is usual.

    Liu, Ting and Zhou, "Isolation Forest" (ICDM 2008).

    Attributes:
        root: the node at which each tree begins, (trees, 1); nodes of all trees are counted through.
        cut: of each node the number of a vector that it asks for; a leaf, which leads to itself, may ask for any.
        threshold: up to which that leads to the left; (nodes, 1), as the others.
        left, right: the nodes that follow.
        depth: of a leaf, and how much deeper those would be on average that it did not part any more.
    """

    root: Tensor
    cut: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    depth: Tensor
    usual_depth: Tensor

    def __init__(self, width: int, *, num_samples: int) -> None:
        """`num_samples`: vectors that each tree is grown on, at most."""
        super().__init__()
        self.width = width
        self.num_samples = num_samples
        for name in ("root", "cut", "left", "right"):
            self.register_buffer(name, torch.zeros(0, 1, dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros(0, 1))
        self.register_buffer("depth", torch.zeros(0, 1))
        self.register_buffer("usual_depth", torch.ones(()))
        self.register_load_state_dict_post_hook(_require_trees)  # type: ignore[no-untyped-call]

    def grow(self, vectors: Float[Tensor, "vectors width"], *, num_trees: int, seed: int) -> None:
        """Isolate these from one another."""
        from sklearn.ensemble import IsolationForest  # half a second to import, and scores do without

        samples = min(self.num_samples, len(vectors))
        forest = IsolationForest(n_estimators=num_trees, max_samples=samples, random_state=seed)
        forest.fit(vectors.float().cpu().numpy())
        trees = [estimator.tree_ for estimator in forest.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in trees)])[:-1]
        parts = [_nodes(tree, root=root) for tree, root in zip(trees, roots.tolist(), strict=True)]
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} | {"root": roots}
        for name, values in joined.items():
            buffer = getattr(self, name)
            setattr(self, name, torch.from_numpy(values).to(buffer).unsqueeze(1))
        self.usual_depth.fill_(float(_mean_depth(np.array([samples]))[0]))

    def forward(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        at_once = max(1, _VALUES_AT_ONCE // len(self.root))
        return torch.cat([self._scores(part) for part in torch.split(vectors.float(), at_once)])

    def _scores(self, vectors: Float[Tensor, "vectors width"]) -> Float[Tensor, " vectors"]:
        nodes = self.root[:, 0].expand(len(vectors), -1)
        for _ in range((self.num_samples - 1).bit_length()):  # as deep as scikit-learn grows a tree
            to_the_left = vectors.gather(1, self.cut[nodes, 0]) <= self.threshold[nodes, 0]
            nodes = torch.where(to_the_left, self.left[nodes, 0], self.right[nodes, 0])
        return torch.exp2(-self.depth[nodes, 0].mean(dim=1) / self.usual_depth)


def _require_trees(module: nn.Module, keys: object) -> None:
    """A file may lead anywhere, and on a GPU that is no error which could be caught."""
    assert isinstance(module, IsolatingTrees)
    names = ("threshold", "left", "right", "depth")
    require_as_many(module.cut, {name: module.get_buffer(name) for name in names})
    limits = {"root": len(module.cut), "left": len(module.cut), "right": len(module.cut), "cut": module.width}
    for name, limit in limits.items():
        numbers = module.get_buffer(name)
        if ((numbers < 0) | (numbers >= limit)).any():
            raise ValueError(f"{name} leads beyond the {limit:,} that there are")


def _nodes(tree: Any, *, root: int) -> dict[str, NDArray[np.generic]]:
    """The nodes of a tree of scikit-learn, where the first has the number `root`."""
    left, right, threshold = tree.children_left, tree.children_right, tree.threshold
    leaf = left < 0
    own = np.arange(len(left))
    depth = np.zeros(len(left))
    for node in np.flatnonzero(~leaf):  # parents stand before their children
        depth[[left[node], right[node]]] = depth[node] + 1
    # Numbers are compared in single precision: the largest of these that is not above the threshold cuts the same.
    single = threshold.astype(np.float32)
    single = np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)
    return {
        "cut": np.where(leaf, 0, tree.feature),
        "threshold": single,
        "left": np.where(leaf, own, left) + root,
        "right": np.where(leaf, own, right) + root,
        "depth": depth + _mean_depth(tree.n_node_samples),
    }


def _mean_depth(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    """Depth at which one of so many is isolated on average, as that of a search that finds nothing in a binary tree."""
    many = np.maximum(counts, 3).astype(np.float64)
    depth = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, depth))
