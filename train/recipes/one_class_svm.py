"""A one-class support vector machine around the vectors of normal samples."""

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from ...configs.section import Positive
from ..nn.one_class_svm import OneClassBoundary
from .vectors import SampledDetector, SampledSettings


class OneClassSvmSettings(SampledSettings):
    """How far outside a boundary around the normal samples, by the radial basis function."""

    name: Literal["one_class_svm"] = Field("one_class_svm", description="What is learned, and how it predicts.")
    nu: Annotated[float, Field(gt=0, le=1)] = Field(
        0.1,
        description="Share of the normal vectors that lies outside, about; at least so many are support vectors.",
    )
    bank: Positive = Field(
        5_000,
        description="Most vectors of normal samples that it learns from, in time and memory as the square of their "
        "number; of more, as many are drawn with train.seed.",
    )


class OneClassSvmRecipe(SampledDetector):
    """Support vectors among the normal ones."""

    def __init__(self, settings: OneClassSvmSettings) -> None:
        super().__init__(settings)
        self._nu = settings.nu

    def detector(self, width: int) -> OneClassBoundary:
        return OneClassBoundary(width)

    def learn(self, detector: nn.Module, vectors: Float[Tensor, "vectors width"], generator: torch.Generator) -> None:
        assert isinstance(detector, OneClassBoundary)
        detector.learn(vectors, nu=self._nu)
