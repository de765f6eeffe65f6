"""What recipes have in common that look at the vectors of one array of a store, which gives each row one or many.

A detector says what its module is and how that is fitted: the module gives each vector a distance from those of the
training rows, and the largest of a row's distances is its score.
"""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal, Self

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from ...cache.arrays import oracles_among
from ...configs.section import Positive
from ...errors import SettingsError, TrainingError
from ...progress import say
from ..nn.nearest_neighbours import Reservoir
from ..nn.standardise import ChannelStatistics, Standardise
from ..settings import AUTO, RecipeSettings, StoredArray, of_last_block
from ..types import Batch, Encodings, FeatureRequest, Needs, Prediction, Shapes

_USUAL = "video/embedding"
POOLED = ("embedding", "mean", "values")  # arrays whose vectors stand for a sample, a view or a step


class VectorSettings(RecipeSettings):
    """Which vectors are looked at."""

    array: StoredArray = Field(
        AUTO,
        description="Array of the store, such as video/embedding, image/block_10/mean or image/block_10/patch_tokens; "
        "its last axis is the vectors'; image/last/mean is that of the deepest block that the store holds. Samples "
        "without it are neither learned from nor scored. auto: video/embedding where the store holds it, or else its "
        "first array called embedding, mean or values, in this order, but for an oracle's.",
    )

    def for_store(self, arrays: Collection[str]) -> Self:
        """With an array that the store holds; where it holds none that will do, the usual one, which is missed then."""
        if self.array != AUTO:
            return self.model_copy(update={"array": of_last_block(self.array, arrays)})
        known = [array for array in arrays if array not in oracles_among(arrays)]
        found = [array for name in POOLED for array in known if array.rpartition("/")[2] == name]
        chosen = _USUAL if _USUAL in arrays or not found else found[0]
        return self.model_copy(update={"array": chosen})


class DetectorSettings(VectorSettings):
    """Which vectors a detector compares."""

    vectors: Literal["mean", "each"] = Field(
        "mean",
        description="Where the array has many vectors a sample, such as views, patches or steps: mean: one, their "
        "mean; each: all of them, and the one that is furthest away decides. Padding is never looked at.",
    )


class VectorRecipe:
    """Vectors of one array, without padding; subclasses say what is made of them.

    Attributes:
        pooled: whether a row that has many vectors is their mean.
        setting: the one that chooses the array, for messages.
    """

    pooled = True

    def __init__(self, settings: VectorSettings, *, setting: str = "recipe.array") -> None:
        self.setting = setting
        # Of one that is still to be chosen, the usual one: a recipe is asked for its task before there is a store.
        feature_set, _, array = settings.for_store(()).array.rpartition("/")
        self._array = FeatureRequest(feature_set, array, compared=True)
        self._length = FeatureRequest(feature_set, f"{array}_length", where_held=True)
        self._views = FeatureRequest(feature_set, "views_present", where_held=True)

    def needs(self) -> Needs:
        """The array, and what says of it what is padding."""
        feature_set = self._array.feature_set
        return Needs(
            (self._array, self._length, self._views), modalities={feature_set.partition("/")[0]: (feature_set,)}
        )

    @property
    def array(self) -> str:
        """The array's name in the store and in a batch."""
        return self._array.name

    def advice(self, missing: Sequence[str], *, held: Sequence[str]) -> str:
        """Which features there are instead, and how to have these."""
        return (
            f"Choose features that are there with --set {self.setting}=<feature set>/<array>, or run "
            "`weldcache extract` with these among extract.features."
        )

    def width(self, shapes: Shapes) -> int:
        """Numbers of a vector.

        Raises:
            SettingsError: if the array has no axis.
        """
        shape = shapes[self._array.name]
        if not shape:
            raise SettingsError(
                f"{self._array.name} is a number a sample and no vector; choose another with --set {self.setting}=..."
            )
        return shape[-1]

    def training_vectors(self, batches: Iterable[Batch]) -> Iterator[Float[Tensor, "vectors width"]]:
        """The vectors of each batch, without padding.

        Raises:
            TrainingError: if one is not finite.
        """
        for batch in batches:
            vectors, real = self.vectors(batch)
            learned = vectors[real]
            self.require_finite(learned)
            yield learned

    def sampled_vectors(
        self, batches: Iterable[Batch], *, width: int, limit: int, generator: torch.Generator
    ) -> Float[Tensor, "vectors width"]:
        """The vectors of all batches, on the CPU: of more than `limit` as many are drawn, and that is said."""
        kept = Reservoir(width, limit=limit, generator=generator)
        for vectors in self.training_vectors(batches):
            kept.add(vectors)
        if kept.seen > len(kept.vectors):
            say(f"The bank holds {len(kept.vectors):,} of {kept.seen:,} vectors, drawn at random (recipe.bank).")
        return kept.vectors

    def require_finite(self, vectors: Float[Tensor, "vectors width"]) -> None:
        """Refuse to learn from vectors that are not.

        Raises:
            TrainingError: names the array.
        """
        if not vectors.isfinite().all():
            raise TrainingError(
                f"{self._array.name} of some sample to train on is not finite, or all of it is padding; look at "
                f"`weldcache verify`, or choose another array with --set {self.setting}=..."
            )

    def vectors(self, batch: Batch) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """The vectors of each row, and which of them are no padding; where they are pooled, a row has one."""
        values = batch.features[self._array.name]
        real = self._real(batch, values)
        if values.ndim == 2 or not self.pooled:
            return values, real
        kept = real.flatten(1).unsqueeze(-1)
        # Not a product with the mask: what padding holds may be infinite. A mean of nothing is NaN.
        mean = torch.where(kept, values.flatten(1, -2).float(), 0).sum(dim=1) / kept.sum(dim=1)
        return mean, real.new_ones(len(real))

    def vectors_there(self, batch: Batch) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """As `vectors`; a row that lacks the array has none that is no padding."""
        found, real = self.vectors(batch)
        present = batch.present.get(self._array.feature_set)
        return found, real if present is None else real & present.reshape(-1, *[1] * (real.ndim - 1))

    def _real(self, batch: Batch, values: Float[Tensor, "batch *axes width"]) -> Bool[Tensor, " batch *axes"]:
        """Where there is no padding, along the first axis of a row."""
        real = torch.ones(values.shape[:-1], dtype=torch.bool, device=values.device)
        if values.ndim == 2:
            return real
        axis = (len(values), values.shape[1], *[1] * (values.ndim - 3))
        if self._length.name in batch.features:
            lengths = batch.features[self._length.name].unsqueeze(1)
            real = real & (torch.arange(values.shape[1], device=lengths.device) < lengths).reshape(axis)
        if self._views.name in batch.features:
            real = real & batch.features[self._views.name].bool().reshape(axis)
        return real


class VectorDetector(VectorRecipe, ABC):
    """Distances of vectors from those of the training rows; subclasses say which."""

    def __init__(self, settings: DetectorSettings) -> None:
        super().__init__(settings)
        self.pooled = settings.vectors == "mean"

    def build(self, shapes: Shapes) -> nn.Module:
        return self.module(self.width(shapes))

    @abstractmethod
    def module(self, width: int) -> nn.Module:
        """What gives each vector of this width a distance; nothing is fitted yet."""

    @abstractmethod
    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None: ...

    def encode(self, model: nn.Module, batch: Batch, generator: torch.Generator | None) -> Encodings:
        """The distances, and which are of vectors that there are; nothing is drawn.

        What is not finite has none: cuts of trees and boundaries would give it one like any other's.
        """
        vectors, real = self.vectors(batch)
        distances = torch.full(real.shape, torch.nan, device=real.device)
        there = vectors[real]
        distances[real] = model(there).where(there.isfinite().all(dim=-1), torch.nan)
        return {"distance": distances, "real": real}

    def predict(self, model: nn.Module, encodings: Encodings) -> Prediction:
        """The largest distance of each row; by vector too where there are many, NaN where there is padding."""
        distances, real = encodings["distance"], encodings["real"]
        largest = distances.masked_fill(~real, -torch.inf).reshape(len(distances), -1).amax(dim=1)
        return Prediction(largest, maps={} if self.pooled else {"distance": distances})


class SampledSettings(DetectorSettings):
    """What is set of every detector that learns from a sample of the vectors, which memory holds."""

    bank: Positive
    standardise: bool = Field(
        False,
        description="Look at each number in units of its spread over the normal samples: for vectors whose numbers "
        "have units of their own, such as statistics of measurements.",
    )


class SampledDetector(VectorDetector):
    """A module that learns from all vectors at once, or from as many as are drawn; subclasses say which."""

    def __init__(self, settings: SampledSettings) -> None:
        super().__init__(settings)
        self._sampled = settings

    @abstractmethod
    def detector(self, width: int) -> nn.Module:
        """What gives each vector a distance."""

    @abstractmethod
    def learn(self, detector: nn.Module, vectors: Float[Tensor, "vectors width"], generator: torch.Generator) -> None:
        """Fill the detector's buffers from vectors that are not all equal."""

    def module(self, width: int) -> nn.Module:
        return nn.Sequential(OrderedDict(standardise=Standardise(width), detector=self.detector(width)))

    def fit(self, model: nn.Module, batches: Iterable[Batch], generator: torch.Generator) -> None:
        """Gather the vectors and learn from them.

        Raises:
            SettingsError: if there are fewer than settings ask for.
            TrainingError: if all vectors are equal.
        """
        standardise, detector = model.get_submodule("standardise"), model.get_submodule("detector")
        assert isinstance(standardise, Standardise)
        width, device = len(standardise.mean), standardise.mean.device
        vectors = self.sampled_vectors(batches, width=width, limit=self._sampled.bank, generator=generator)
        if (vectors == vectors[0]).all():
            raise TrainingError(
                f"All {len(vectors):,} vectors of the normal samples are equal, so there is nothing to learn; "
                f"choose another array with --set {self.setting}=..."
            )
        if self._sampled.standardise:
            statistics = ChannelStatistics(width)
            statistics.add(vectors)
            standardise.use(statistics)
        self.learn(detector, standardise(vectors.to(device)), generator)
