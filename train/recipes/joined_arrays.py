"""Several arrays of a store as one: side by side in a vector of each sample, or in a vector of each of its places.

What is padding, or of an array that a sample lacks, is not known: it is zeros, and is said to be none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isqrt, prod
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...errors import SettingsError
from ..nn.standardise import ChannelStatistics, Standardise
from ..types import Batch, Needs, Shapes
from .blocks import resized
from .places import at_places, drawn_places
from .vectors import VectorRecipe, VectorSettings


class _Joined:
    """Arrays side by side; `pooled` ones have one vector a sample."""

    def __init__(
        self,
        arrays: Sequence[str],
        *,
        recipe: str,
        setting: str,
        pooled: bool,
        measured: bool,
        optional: bool = False,
    ) -> None:
        self._arrays = [VectorRecipe(VectorSettings(name=recipe, array=array), setting=setting) for array in arrays]
        for array in self._arrays:
            array.pooled = pooled
        self._measured = measured
        self._optional = optional and len(arrays) > 1

    def needs(self) -> Needs:
        """The arrays, and what says of them what is padding; all of it is measured, or nothing."""
        each = [array.needs() for array in self._arrays]
        sets = [name for needs in each for name in needs.feature_sets]
        needs = Needs.of_all(each, optional=sets if self._optional else ())
        return replace(needs, measures=tuple(request.name for request in needs.features) if self._measured else ())

    def advice(self) -> str:
        """What to do where a store lacks some of them."""
        return (
            "Choose features that are there with --set recipe.array=<feature set>/<array> and recipe.beside, or run "
            "`weldcache extract` with these among extract.features."
        )


class JoinedArrays(_Joined):
    """A vector of each sample: of each array its mean vector, or all of its vectors, one after another.

    A sample may lack some of the arrays where they are `optional`.
    """

    def __init__(
        self,
        arrays: Sequence[str],
        *,
        recipe: str,
        setting: str,
        vectors: Literal["mean", "all"],
        measured: bool,
        optional: bool,
    ) -> None:
        super().__init__(
            arrays, recipe=recipe, setting=setting, pooled=vectors == "mean", measured=measured, optional=optional
        )

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
            found, real = array.vectors_there(batch)
            real = real.unsqueeze(-1).expand(found.shape)
            # Not a product with the mask: what padding holds may be infinite.
            values.append(torch.where(real, found.float(), 0.0).flatten(1))
            known.append(real.flatten(1))
        return torch.cat(values, dim=1), torch.cat(known, dim=1)

    def learned_from(
        self, batch: Batch, *, most: int | None, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, "batch width"], Bool[Tensor, " batch"]]:
        """The vector of each row, and whether anything of it is known; there are no places to be drawn."""
        vectors, known = self.read(batch)
        return vectors, known.any(dim=1)

    def measure(self, standardise: Standardise, train: Iterable[Batch]) -> None:
        """Let `standardise` take each channel in units of its spread over all vectors of the training rows.

        Raises:
            TrainingError: if one is not finite.
        """
        statistics: dict[str, ChannelStatistics] = {}
        copies: dict[str, int] = {}
        for batch in train:
            for array in self._arrays:
                found, real = array.vectors_there(batch)
                learned = found[real]
                array.require_finite(learned)
                statistics.setdefault(array.array, ChannelStatistics(found.shape[-1])).add(learned)
                copies[array.array] = real[0].numel()  # 1 of a pooled array
        each = [(statistics[name], copies[name]) for name in statistics]
        standardise.mean.copy_(torch.cat([of.mean.repeat(count) for of, count in each]))
        standardise.std.copy_(torch.cat([of.std.repeat(count) for of, count in each]))


class JoinedPlaces(_Joined):
    """A vector of each place of a sample, of arrays with the same places: patches in several blocks of a network.

    Square maps of the same photographs that have more places, or fewer, are brought to the grid of the first array.
    """

    def __init__(self, arrays: Sequence[str], *, recipe: str, setting: str, measured: bool) -> None:
        super().__init__(arrays, recipe=recipe, setting=setting, pooled=False, measured=measured)

    def widths(self, shapes: Shapes) -> list[int]:
        """Numbers that each array has at a place.

        Raises:
            SettingsError: if one has no places, or others than the first.
        """
        names, setting = [array.array for array in self._arrays], self._arrays[0].setting
        first = shapes[names[0]]
        for name in names:
            if len(shapes[name]) < 2:
                raise SettingsError(
                    f"{name} is one vector a sample, which has no places; choose patches, tokens or steps with --set "
                    f"{setting}=..."
                )
            same_grid = len(first) == len(shapes[name]) == 3 and all(map(_is_square, (first[1], shapes[name][1])))
            if shapes[name][:-1] != first[:-1] and not (same_grid and shapes[name][0] == first[0]):
                raise SettingsError(
                    f"{names[0]} and {name} do not have the same places ({list(first[:-1])} and "
                    f"{list(shapes[name][:-1])} a sample); choose blocks of one network, or arrays with as many, with "
                    f"--set {setting}=..."
                )
        return [shapes[name][-1] for name in names]

    def read(
        self, batch: Batch
    ) -> tuple[Float[Tensor, "batch *axes places width"], Bool[Tensor, "batch *axes places"]]:
        """The vectors, zeros where there is padding in some array, and where there is none in any."""
        values, masks = zip(*(array.vectors(batch) for array in self._arrays), strict=True)
        places = values[0].shape[-2]
        if all(each.shape[-2] == places for each in values):
            real = torch.stack(masks).all(dim=0)
        else:  # of maps, whose padding are whole pictures
            real = torch.stack([mask.any(dim=-1) for mask in masks]).all(dim=0).unsqueeze(-1).expand(masks[0].shape)
            values = tuple(resized(each, side=isqrt(places)) for each in values)
        joined = torch.cat([each.float() for each in values], dim=-1)
        return torch.where(real.unsqueeze(-1), joined, 0.0), real

    def learned_from(
        self, batch: Batch, *, most: int | None, generator: torch.Generator | None
    ) -> tuple[Float[Tensor, "*places width"], Bool[Tensor, " *places"]]:
        """As `read`; with a generator, as in training, of `most` places of each row that it draws."""
        vectors, real = self.read(batch)
        if generator is None:
            return vectors, real
        drawn = drawn_places(real, most=most, generator=generator)
        return at_places(vectors, drawn, width=True), at_places(real, drawn, width=False)

    def measure(self, standardise: Standardise, train: Iterable[Batch]) -> None:
        """Let `standardise` take each channel in units of its spread over all places of the training rows.

        Raises:
            TrainingError: if one is not finite.
        """
        statistics = ChannelStatistics(len(standardise.mean))
        for batch in train:
            values, real = self.read(batch)
            learned = values[real]
            self._arrays[0].require_finite(learned)
            statistics.add(learned)
        standardise.use(statistics)


def _is_square(number: int) -> bool:
    return isqrt(number) ** 2 == number
