"""The two halves of a modality: a reader that runs in the decode workers, an encoder that runs beside the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import Tensor

from ...cache.arrays import FeatureSetSpec
from ..sources.source import Sample

Features = Mapping[str, Mapping[str, Tensor]]
"""Tensors by feature set and array, sample axis first, where the backbone left them."""


@dataclass(frozen=True)
class Prepared:
    """One sample as the encoder takes it, and what of its files could not be used, in words for the user."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


@runtime_checkable
class Reader(Protocol):
    """Files to prepared tensors; holds no weights, because it is sent to every worker."""

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """Every file whose bytes can change what is prepared."""
        ...

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample.

        Raises:
            DecodeError: if a file cannot be decoded.
        """
        ...


@runtime_checkable
class Encoder(Protocol):
    """Prepared tensors to the arrays that the store keeps, in one or several feature sets."""

    @property
    def specs(self) -> Sequence[FeatureSetSpec]:
        """The feature sets and what makes them."""
        ...

    @property
    def reader(self) -> Reader:
        """The half that is sent to the workers."""
        ...

    def load(self) -> None:
        """Bring the weights to the device; until then an encoder is its description alone.

        Raises:
            BackboneError: if they are not those of the description, or not whole.
        """
        ...

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """Features of several samples, which go through the backbone as one batch; only what `feature_sets` need runs.

        Work may still be under way on the device when this returns.
        """
        ...

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        """Floating-point operations that one sample takes; a multiply-add counts as two."""
        ...
