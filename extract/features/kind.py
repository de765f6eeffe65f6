"""What a kind of feature is made of: a reader that runs in the decode workers, an encoder that runs beside the device.

A kind is its section in the settings and a function or class `make(name, settings, tools)` that gives an `Encoder`, or
a `Constant` where the feature belongs to no sample. `KINDS` names both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from ...cache.arrays import ACTIVE, ArraySpec, FeatureSetSpec, StorageType
from ...cache.provenance import library_versions
from ...documents import Json
from ..backbones.load import BackboneLoader
from ..backbones.spec import BackboneSpec
from ..decode.decoded import Extents
from ..sources.source import Sample, Source
from .settings import StreamSettings

OPENCV = "opencv-python-headless"

_RUNS_BACKBONES = ("torch", "transformers")

Features = Mapping[str, Mapping[str, Tensor]]
"""Tensors by feature set and array, sample axis first, where the backbone left them."""


@dataclass(frozen=True)
class Tools:
    """What features are made with: the backbones, each loaded once, the type that their outputs are stored in, and the
    data set, for kinds whose shape follows from it.
    """

    backbones: BackboneLoader
    dtype: StorageType
    source: Source


@dataclass(frozen=True)
class Prepared:
    """One sample as the encoder takes it, and what of its files could not be used, in words for the user.

    `extents` is how much there is in each file, by name, such as `seconds`: reports hold what files alone give away
    against the model.
    """

    tensors: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    extents: Extents = field(default_factory=dict)


@runtime_checkable
class Reader(Protocol):
    """Files to prepared tensors; holds no weights, because it is sent to every worker."""

    @property
    def stream(self) -> str:
        """What of a sample it needs: where the source says that this is absent, nothing is read."""

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """Every file whose bytes can change what is prepared."""

    def __call__(self, sample: Sample) -> Prepared:
        """Decode and prepare one sample.

        Raises:
            DecodeError: if a file cannot be decoded.
        """


@dataclass(frozen=True)
class StreamReader:
    """What all readers share whose section says which stream they read."""

    settings: StreamSettings

    @property
    def stream(self) -> str:
        return self.settings.stream

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return sample.files[self.stream]


@runtime_checkable
class Encoder(Protocol):
    """Prepared tensors to the arrays that the store keeps, in one or several feature sets."""

    @property
    def specs(self) -> Sequence[FeatureSetSpec]:
        """The feature sets and what makes them."""

    @property
    def reader(self) -> Reader:
        """The half that is sent to the workers."""

    def load(self) -> None:
        """Bring the weights to the device; until then an encoder is its description alone.

        Raises:
            BackboneError: if they are not those of the description, or not whole.
        """

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """Features of several samples, which go through the backbone as one batch; only what `feature_sets` need runs.

        Work may still be under way on the device when this returns.
        """

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        """Floating-point operations that one sample takes; a multiply-add counts as two."""


class StoredAsRead:
    """An encoder without a backbone: the arrays of its one feature set are what the reader prepares under their names.

    `decoding` and the libraries `decoders` are what changes the numbers, see `made_by`.
    """

    def __init__(
        self,
        name: str,
        reader: Reader,
        arrays: Sequence[ArraySpec],
        *,
        decoding: Mapping[str, object],
        decoders: Sequence[str] = (),
    ) -> None:
        self.reader = reader
        self.specs = [FeatureSetSpec(name, arrays, made_by(None, decoding=decoding, decoders=decoders))]

    def load(self) -> None:
        pass  # there are no weights

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        names = [array.name for array in self.specs[0].arrays]
        stacked = {name: torch.stack([item.tensors[name] for item in prepared]) for name in names}
        return dict.fromkeys(feature_sets, stacked)

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return 0  # none worth counting


@runtime_checkable
class Constant(Protocol):
    """A vector that belongs to the whole store, and what makes it."""

    @property
    def name(self) -> str:
        """Its name in the store."""

    @property
    def made_by(self) -> dict[str, Json]:
        """All that changes its numbers."""

    @property
    def arithmetic(self) -> str:
        """The type that it is computed in: float32, bfloat16 or float16."""

    def vector(self) -> Float32[np.ndarray, " dim"]:
        """Compute it; raises BackboneError where that cannot be done."""


def active_array() -> ArraySpec:
    """First and last second at which what is recorded goes on, in the recording's own time; NaN twice where it cannot
    be told.

    Kept for each feature, because recordings have clocks of their own: the difference of two features' first entries is
    the offset of their onsets.
    """
    attributes = {"unit": "s", "clock": "from the start of this modality's recording"}
    return ArraySpec(ACTIVE, (2,), ("bound",), "float64", allows_nan=True, distinct=False, attributes=attributes)


def made_by(
    backbone: BackboneSpec | None,
    *,
    decoding: Mapping[str, object],
    decoders: Sequence[str] = (),
    block: int | None = None,
) -> dict[str, Json]:
    """Describe a feature set by its backbone (None where it has none), the block of it, its decoding, the libraries.

    `decoders` are the libraries that decode its files. Libraries that cannot change its numbers, such as the store's,
    are not in the description: a fingerprint should not change when nothing did.
    """
    versions = library_versions(("numpy", *decoders, *(_RUNS_BACKBONES if backbone is not None else ())))
    del versions["python"]
    described: dict[str, Json] = {"decoding": dict(decoding), "libraries": versions}
    if backbone is not None:
        described["backbone"] = backbone.to_manifest()
    if block is not None:
        described["block"] = block
    return described
