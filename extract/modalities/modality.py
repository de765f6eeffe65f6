"""The two halves of a modality: a reader that runs in the decode workers, an encoder that runs beside the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ...cache.arrays import ModalitySpec
from ..sample import Sample

Features = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Prepared:
    """One sample as the encoder takes it, and what of its files could not be used, in words for the user."""

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


@runtime_checkable
class Reader(Protocol):
    """Files to prepared tensors; holds no weights, because it is sent to every worker."""

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample.

        Raises:
            DecodeError: if a file cannot be decoded.
        """
        ...


@runtime_checkable
class Encoder(Protocol):
    """Prepared tensors to the arrays that the store keeps."""

    @property
    def spec(self) -> ModalitySpec:
        """The arrays and what makes them."""
        ...

    @property
    def reader(self) -> Reader:
        """The half that is sent to the workers."""
        ...

    def encode(self, prepared: Sequence[Prepared]) -> Sequence[Features]:
        """Features of several samples, which go through the backbone as one batch; one mapping a sample."""
        ...
