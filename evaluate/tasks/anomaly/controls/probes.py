"""What each modality tells by itself without any training: the distance from a Gaussian over its pooled features.

Two passes over the training rows and one over the judged ones, of one small array a modality. What would take long or
much memory is left out, and that is said.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from .....cache.status import Status
from .....cache.store import FeatureStore
from .....errors import TrainingError
from .....train.data.batches import BatchSource, parts_in_order
from .....train.data.features import FeatureReader, Rows
from .....train.data.streamed import StreamedFeatures
from .....train.recipes.gaussian import GaussianRecipe, GaussianSettings
from .....train.recipes.recipe import Joined, Recipe
from .....train.types import Batch
from .....wording import format_size
from ....scores import ScoreTable
from .control import Control, Found, Rival

_MOST_BYTES = 2**30  # of features that are read for one probe; a chosen limit
_WIDEST = 2048  # numbers of a vector: a matrix of its square in double precision takes 32 MB
_POOLED = ("embedding", "mean", "values")  # arrays that hold little a row, the best first
PIXELS = Rival("pixels control", "a few pixels of each photograph", of_media=True)


@dataclass(frozen=True, eq=False)
class ProbedRows:
    """The rows of a store that a probe learns from, all normal, and those that it scores."""

    store: FeatureStore
    train: Rows
    judged: Rows

    def probe(self, array: str) -> Found:
        """Distances of the judged rows by this array, NaN of rows that lack it."""
        spec, feature_set = self.store.array_spec(array), array.rpartition("/")[0]
        complete = self.store.status(feature_set) == Status.COMPLETE
        train, there = self.train[complete[self.train]], complete[self.judged]
        num_bytes = (len(train) + int(there.sum())) * spec.row_bytes
        if not spec.shape or spec.shape[-1] > _WIDEST or num_bytes > _MOST_BYTES:
            return f"{array} has {format_size(num_bytes)} in vectors of {spec.shape[-1:]}, too much for a quick look"
        if len(train) < 2 or not there.any():
            return f"too few samples have {array}"
        recipe = GaussianRecipe(GaussianSettings(array=array, standardise=True))
        try:
            found = self._distances(recipe, train, self.judged[there])
        except TrainingError:
            return f"{array} is alike in all training samples"
        scores = np.full(len(self.judged), np.nan)
        scores[there] = np.where(np.isfinite(found), found, np.nan)
        return scores

    @torch.no_grad()
    def _distances(self, recipe: GaussianRecipe, train: Rows, judged: Rows) -> NDArray[np.float64]:
        reader = FeatureReader(self.store, recipe.needs().features)
        learned, scored = (StreamedFeatures(reader, rows, torch.device("cpu")) for rows in (train, judged))
        model = recipe.build({recipe.array: self.store.array_spec(recipe.array).shape})
        recipe.fit(model, _Again(learned), torch.Generator())
        parts = [recipe.predict(model, recipe.encode(model, batch, None)).score.numpy() for batch in _Again(scored)]
        return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class _Again:
    """Batches of the same samples, as often as they are gone through."""

    samples: BatchSource

    def __iter__(self) -> Iterator[Batch]:
        yield from self.samples.batches(parts_in_order(len(self.samples)))


def probe_controls(table: ScoreTable, rows: ProbedRows, *, recipe: Recipe) -> dict[str, Control]:
    """A probe of each modality that `recipe` looks at, and of pixels where the store has them and it does not look.

    None of modalities for a recipe that is such a probe itself, or that puts several together and tells them anyway.
    """
    found: dict[str, Control] = {}
    needs = recipe.needs()
    if not isinstance(recipe, Joined | GaussianRecipe):
        for modality, sets in needs.modalities.items():
            rival = Rival(f"{modality} probe", f"{modality} without any training", of_media=True)
            array = array_to_probe(rows.store, sets)
            told = "" if array is None else f"a Gaussian over {array}"
            scores = "it has no vectors" if array is None else rows.probe(array)
            found[f"{modality}_probe"] = rival.measured(scores, table, told=told)
    pixels = pixels_of(rows.store)
    if pixels is not None and pixels.rpartition("/")[0] not in needs.feature_sets:
        found["pixels_control"] = PIXELS.measured(rows.probe(pixels), table, told=f"a Gaussian over {pixels}")
    return found


def array_to_probe(store: FeatureStore, feature_sets: tuple[str, ...]) -> str | None:
    """The pooled array of the last of these sets, which of several blocks is the deepest; or else the smallest."""
    arrays = {
        f"{name}/{array}": spec
        for name in feature_sets
        for array, spec in store.arrays(name).items()
        if spec.shape and spec.dtype.startswith(("float", "bfloat")) and not spec.allows_nan and array != "times"
    }
    for wanted in _POOLED:
        pooled = [name for name in arrays if name.rpartition("/")[2] == wanted]
        if pooled:
            return pooled[-1]
    return min(arrays, key=lambda name: arrays[name].row_bytes, default=None)


def pixels_of(store: FeatureStore) -> str | None:
    """The array of a feature of the kind `pixels`; None where the store has none."""
    for name in store.feature_sets:
        spec = store.arrays(name).get("values")
        if spec is not None and "picture" in spec.attributes:
            return f"{name}/values"
    return None
