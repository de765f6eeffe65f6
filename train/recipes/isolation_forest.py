"""An isolation forest: how few random cuts set a sample's vectors apart from normal ones."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ..nn.isolation_forest import IsolatingTrees
from .vectors import SampledDetector, SampledSettings


class IsolationForestSettings(SampledSettings):
    """How soon trees of random cuts through the normal samples isolate a vector."""

    name: Literal["isolation_forest"] = Field("isolation_forest", description="What is learned, and how it predicts.")
    trees: Annotated[int, Field(gt=0, le=10_000)] = Field(200, description="Trees, grown with train.seed.")
    tree_samples: Annotated[int, Field(gt=1, le=65_536)] = Field(
        256, description="Vectors that a tree is grown on, at most, drawn with train.seed."
    )
    bank: Positive = Field(
        100_000,
        description="Most vectors of normal samples that trees draw from, in memory while they are grown; of more, as "
        "many are drawn with train.seed.",
    )


class IsolationForestRecipe(SampledDetector):
    """Trees of random cuts."""

    def __init__(self, settings: IsolationForestSettings) -> None:
        super().__init__(settings)
        self._settings = settings

    def detector(self, width: int) -> IsolatingTrees:
        return IsolatingTrees(width, num_samples=self._settings.tree_samples)

    def learn(self, detector: nn.Module, vectors: Float[Tensor, "vectors width"], generator: torch.Generator) -> None:
        assert isinstance(detector, IsolatingTrees)
        seed = int(torch.randint(2**31, (), generator=generator))
        detector.grow(vectors, num_trees=self._settings.trees, seed=seed)
