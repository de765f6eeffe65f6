"""Several arrays of a store as one vector a sample: each array's own vector, or all of its vectors, one after another.

A sample that lacks an array, and padding, leave entries that are not known: they are zeros, and are said to be none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import prod
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ..nn.standardise import ChannelStatistics, Standardise
from ..types import Batch, Needs, Shapes
from .vectors import VectorRecipe, VectorSettings


class JoinedArrays:
    """Arrays side by side.

    Attributes:
        vectors: of an array that has many a sample, such as views, patches or steps, their mean, or all of them.
        optional: whether a sample takes part that has some of the arrays only.
    """

    def __init__(
        self, arrays: Sequence[str], *, recipe: str, setting: str, vectors: Literal["mean", "all"], optional: bool
    ) -> None:
        self._arrays = [VectorRecipe(VectorSettings(name=recipe, array=array), setting=setting) for array in arrays]
        for array in self._arrays:
            array.pooled = vectors == "mean"
        self._optional = optional and len(arrays) > 1

    def needs(self) -> Needs:
        """The arrays, and what says of them what is padding."""
        each = [array.needs() for array in self._arrays]
        sets = [name for needs in each for name in needs.feature_sets]
        return Needs.of_all(each, optional=sets if self._optional else ())

    def measured(self) -> Needs:
        """The same, where all of it is measured."""
        needs = self.needs()
        return replace(needs, measures=tuple(request.name for request in needs.features))

    def widths(self, shapes: Shapes) -> list[int]:
        """Entries of each array.

        Raises:
            SettingsError: if one has no axis.
        """
        return [array.width(shapes) if array.pooled else prod(self._shape(array, shapes)) for array in self._arrays]

    def _shape(self, array: VectorRecipe, shapes: Shapes) -> tuple[int, ...]:
        array.width(shapes)  # refuses one without an axis
        return shapes[array.array]

    def read(self, batch: Batch) -> tuple[Float[Tensor, "batch width"], Bool[Tensor, "batch width"]]:
        """The vector of each row, zeros where it is not known, and where it is."""
        values, known = [], []
        for array in self._arrays:
            found, real = self._real(array, batch)
            real = real.unsqueeze(-1).expand(found.shape)
            # Not a product with the mask: what padding holds may be infinite.
            values.append(torch.where(real, found.float(), 0.0).flatten(1))
            known.append(real.flatten(1))
        return torch.cat(values, dim=1), torch.cat(known, dim=1)

    def measure(self, standardise: Standardise, train: Iterable[Batch], *, widths: Sequence[int]) -> None:
        """Let `standardise` take each channel in units of its spread over all vectors of the training rows.

        Raises:
            TrainingError: if one is not finite.
        """
        statistics: dict[str, ChannelStatistics] = {}
        for batch in train:
            for array in self._arrays:
                found, real = self._real(array, batch)
                learned = found[real]
                array.require_finite(learned)
                statistics.setdefault(array.array, ChannelStatistics(found.shape[-1])).add(learned)
        each = list(statistics.values())
        copies = [width // len(of.mean) for of, width in zip(each, widths, strict=True)]  # more than 1 of all vectors
        standardise.mean.copy_(torch.cat([of.mean.repeat(count) for of, count in zip(each, copies, strict=True)]))
        standardise.std.copy_(torch.cat([of.std.repeat(count) for of, count in zip(each, copies, strict=True)]))

    def _real(
        self, array: VectorRecipe, batch: Batch
    ) -> tuple[Float[Tensor, "batch *axes width"], Bool[Tensor, " batch *axes"]]:
        """Vectors of an array, and which of them there are."""
        found, real = array.vectors(batch)
        present = batch.present.get(array.array.rpartition("/")[0])
        if present is not None:
            real = real & present.reshape(-1, *[1] * (real.ndim - 1))
        return found, real
