"""Bins of scores that keep their order: by the leading bits of a number, which any score has, and cut finer where that
pays. `localisation` counts pixels in them."""

from typing import Any, Protocol

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

_LEADING = 20  # bits of a score, unless somebody asks for others
_TYPES: tuple[type[np.float32], type[np.float64]] = (np.float32, np.float64)  # that scores are compared in
_TINY = 2.0**-60  # scores all below are made larger before they are cut: single precision has no parts of 1e-35
_SLIGHTLY_ABOVE_ONE = 1 + 1e-6  # so that rounding in single precision does not lead out of a bin


class Binning(Protocol):
    """Bins of scores, which keep their order."""

    num_bins: int

    def from_the_top(self) -> NDArray[np.int64]:
        """The bins from the highest scores to the lowest."""

    def ends(self, bins: NDArray[np.int64]) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
        """The lowest score of each of some bins, and where the next bin begins."""

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        """The bin of each score."""


class LeadingBits:
    """The `leading` bits of a score: with 20 of a float32 2,048 bins between a number and its double, of a float64 256,
    whatever its size."""

    def __init__(self, dtype: np.dtype[Any], *, leading: int = _LEADING) -> None:
        self.num_bins = 1 << leading
        self._dtype, self._bits = dtype, np.dtype(f"u{dtype.itemsize}")
        self._shift = 8 * dtype.itemsize - leading

    def from_the_top(self) -> NDArray[np.int64]:
        """Of negative numbers, whose first bit is set, those with the larger bits are the lower ones."""
        half = self.num_bins // 2
        return np.concatenate([np.arange(half)[::-1], np.arange(half, self.num_bins)])

    def ends(self, bins: NDArray[np.int64]) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
        half = self.num_bins // 2
        size = (bins % half).astype(self._bits)
        sizes = [np.nan_to_num((each << self._shift).view(self._dtype)) for each in (size, size + 1)]
        low, high = np.where(bins < half, sizes, [-sizes[1], -sizes[0]]).astype(np.float64)
        return low, high

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        plain = scores.astype(self._dtype) + self._dtype.type(0)  # 0 and -0 are one score and have other bits
        return np.asarray(plain.view(self._bits) >> self._shift, dtype=np.int64)


class CutBins:
    """Some bins of another binning, which hold all scores, from the lowest to the highest, cut into so many of equal
    width."""

    def __init__(
        self, parent: Binning, bins: NDArray[np.int64], parts: NDArray[np.int64], *, extent: tuple[float, float]
    ) -> None:
        """`extent` is from the lowest to the highest score."""
        low, high = (np.clip(ends, *extent) for ends in parent.ends(bins))
        self.num_bins = int(parts.sum())
        self._parent, self._starts = parent, np.cumsum(parts) - parts
        self._low, self._width = low, (high - low) / parts * _SLIGHTLY_ABOVE_ONE

        largest = max(map(abs, extent))
        self._factor = float(2.0 ** min(-np.floor(np.log2(largest)) - 30, 1000)) if 0 < largest < _TINY else 1.0

        def table(values: NDArray[Any], kind: type[np.number[Any]]) -> NDArray[Any]:
            """By the numbers of the other binning, most of which hold no score."""
            spread: NDArray[Any] = np.zeros(parent.num_bins, dtype=kind)
            spread[bins] = values
            return spread

        width = np.maximum(self._width * self._factor, np.finfo(np.float64).tiny)
        scale = np.where((self._width > 0) & (parts > 1), 1 / width, 0.0)
        self._first, self._last = table(self._starts, np.int64), table(parts - 1, np.float32)
        self._tables = {
            # Bins around 0 are as narrow as numbers can be, and hold next to nothing else.
            np.dtype(kind): (table(low * self._factor, kind), table(np.minimum(scale, np.finfo(kind).max), kind))
            for kind in _TYPES
        }

    def from_the_top(self) -> NDArray[np.int64]:
        return np.arange(self.num_bins)[::-1]

    def ends(self, bins: NDArray[np.int64]) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
        cut = np.searchsorted(self._starts, bins, side="right") - 1
        low = self._low[cut] + (bins - self._starts[cut]) * self._width[cut]
        return low, low + self._width[cut]

    def __call__(self, scores: NDArray[np.floating]) -> NDArray[np.int64]:
        bins = self._parent(scores)
        low, scale = self._tables[scores.dtype]
        # What rounding would lead out of a bin stays at its end.
        enlarged = scores if self._factor == 1 else scores * scores.dtype.type(self._factor)
        within = np.clip((enlarged - low[bins]) * scale[bins], 0, self._last[bins])
        numbers: NDArray[np.int64] = self._first[bins] + within.astype(np.int64)
        return numbers
