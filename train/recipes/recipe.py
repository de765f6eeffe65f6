"""What a recipe is: the features it wants, the module it trains on them, its loss and its score.

The engine (loop, checkpoints, scoring) works with this interface alone; only recipes know what features mean. A batch
goes through the module once: losses, scores and the watch for collapse all follow from its encodings.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

Batch = Mapping[str, Tensor]
"""Tensors by `<feature set>/<array>`, row axis first, in the storage type of the cache.

Beside them, for every feature set that rows may lack, booleans by `presence_name`: where they are false, the arrays of
that set hold zeros, which say nothing.
"""

Encodings = Mapping[str, Tensor]
"""What a module makes of a batch, by name, row axis first: all that loss, score and embeddings ask for."""

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of one row by `<feature set>/<array>`, and shape of each constant."""


@dataclass(frozen=True)
class FeatureRequest:
    """One cached array that a recipe trains on.

    A row takes part only if its `feature_set` is complete, or if that is `optional` and another set is there.
    """

    feature_set: str
    array: str
    optional: bool = False

    @property
    def name(self) -> str:
        """The array's name in the store and in a batch."""
        return f"{self.feature_set}/{self.array}"


def presence_name(feature_set: str) -> str:
    """The name in a batch of what says which rows have an optional feature set."""
    return f"{feature_set}/present"


@runtime_checkable
class Recipe(Protocol):
    """What is trained on cached features, and how it scores."""

    def requires(self) -> Sequence[FeatureRequest]:
        """The arrays that batches hold."""

    def modalities(self) -> Mapping[str, Sequence[str]]:
        """Feature sets by the modality that they describe, required ones too; a row has it where it has all of them."""

    def constants(self) -> Sequence[str]:
        """Constants of the store that `calibrate` gets."""

    def measures(self) -> Sequence[str]:
        """Names of those required arrays that `calibrate` gets of the training rows."""

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """What to do about feature sets and constants that a store lacks, in sentences; `held` are those it has."""

    def build(self, shapes: Shapes) -> nn.Module:
        """A new module; initial weights come from torch's global generators, which the caller seeds."""

    def calibrate(self, model: nn.Module, train: Iterable[Batch], constants: Batch) -> None:
        """Fill the module's buffers with what is measured on all training rows rather than learned by gradient.

        `train` goes through the training rows once, in parts that fit the memory.
        """

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """Put a batch through the module; without a generator, the encodings of a row do not depend on the other rows.

        `generator`, on the features' device, draws augmentations, which may mix rows; None, as in validation: there
        are none.
        """

    def loss(self, model: nn.Module, encodings: Encodings) -> dict[str, Tensor]:
        """`total`, which is minimised, and its terms before weighting."""

    def score(self, model: nn.Module, encodings: Encodings) -> Float[Tensor, " batch"]:
        """Anomaly scores, higher = more anomalous; a row's score does not depend on the others in its batch."""

    def embeddings(self, encodings: Encodings) -> Mapping[str, Float[Tensor, "batch dim"]]:
        """The representations whose collapse is watched, by name."""


@runtime_checkable
class Limited(Protocol):
    """What a recipe has beside the others where some modalities alone teach it less, or nothing."""

    def limits(self, modalities: Collection[str]) -> str:
        """What to know where the training rows have these modalities alone, as a sentence; "" where nothing is.

        Raises:
            NotFoundError: if there is nothing to learn from them.
        """


def limits_of(recipe: Recipe, modalities: Collection[str]) -> str:
    """As `Limited.limits`, of any recipe."""
    return recipe.limits(modalities) if isinstance(recipe, Limited) else ""


def dispensable_modalities(recipe: Recipe) -> Mapping[str, tuple[str, ...]]:
    """The modalities that the model can do without, one at a time: those whose feature sets are all optional."""
    optional = {request.feature_set for request in recipe.requires() if request.optional}
    return {modality: tuple(names) for modality, names in recipe.modalities().items() if optional.issuperset(names)}


def feature_sets_of(recipe: Recipe, modalities: Collection[str]) -> frozenset[str]:
    """The feature sets that describe some of a recipe's modalities."""
    return frozenset(name for modality in modalities for name in recipe.modalities()[modality])
