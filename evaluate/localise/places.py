"""Where the patches and steps of cached arrays lie: on which pixels of which picture, at which seconds of a recording.

It follows from what a store says of its features' making. The grid of a picture covers all that its backbone was shown,
which is the whole upright picture, or its part within `crop`, brought to a square; the patches stand by rows.
Where a network's grid has a part of a patch more than its picture, as convolutions with padding may, it is taken for
one that covers the picture: off by less than one patch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isqrt
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from ...cache.arrays import ACTIVE, ArraySpec
from ...configs.section import Rectangle
from ...errors import DecodeError
from ...extract.decode.film import USUAL_LIMITS, read_header
from ...extract.decode.image import crop_slices, view_of_each
from ...extract.decode.media import complaints_heard
from ...extract.decode.mel_levels import HOP_SECONDS
from ...extract.decode.picture_file import upright_size
from .maps import Box

Seconds = Float64[np.ndarray, " steps"]
Read = Callable[[str], NDArray[Any]]
"""Reads an array of a sample's feature set by its name."""


@dataclass(frozen=True)
class PictureGrid:
    """The patches of an array (view, patch, dim).

    Attributes:
        side: patches in a row, and in a column.
        crop: the part of each picture that was used, as fractions; None: all of it.
    """

    num_views: int
    side: int
    crop: Rectangle | None

    @classmethod
    def of(cls, spec: ArraySpec, decoding: Mapping[str, Any]) -> Self | None:
        """None of an array that has none, or patches that are no square."""
        if spec.dims[:2] != ("view", "patch") or len(spec.dims) != 3 or "num_views" not in decoding:
            return None
        views, patches, _ = spec.shape
        side, crop = isqrt(patches), decoding.get("crop")
        return cls(views, side, None if crop is None else tuple(crop)) if side**2 == patches else None

    def files(self, paths: Sequence[str]) -> dict[int, str]:
        """The picture of each view, of those that a row was made from."""
        placed = view_of_each([Path(path) for path in paths], num_views=self.num_views)
        return {view: path.as_posix() for path, view in placed.items() if view < self.num_views}

    def box(self, path: Path) -> Box:
        """The original pixels that the grid covers of a picture.

        Raises:
            DecodeError: if it is not there any more, or not a picture.
        """
        width, height = upright_size(path)
        if self.crop is None:
            return 0, 0, width, height
        rows, columns = crop_slices(height, width, crop=self.crop)
        return columns.start, rows.start, columns.stop, rows.stop


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The steps of an array (time, dim) or (step, channel), whose feature set says in `decoding` how it was made.

    `ragged`: a second array, `<name>_length`, says how many of them are real.
    """

    spec: ArraySpec
    decoding: Mapping[str, Any]
    ragged: bool

    @classmethod
    def of(cls, spec: ArraySpec, decoding: Mapping[str, Any], *, ragged: bool) -> Self | None:
        """None of an array that has no steps, or whose making does not tell when they are."""
        known = {"resampling", "sampling", "window_seconds", "levels_per_token"}
        has_steps = len(spec.dims) == 2 and spec.dims[0] in ("time", "step")
        return cls(spec, decoding, ragged) if has_steps and known & set(decoding) else None

    def length(self, read: Read) -> int:
        """How many of a sample's steps are real."""
        return int(read(f"{self.spec.name}_length")) if self.ragged else self.spec.shape[0]

    def seconds(self, read: Read, *, files: Sequence[Path]) -> Seconds | None:
        """The middle of each of a sample's steps, from the start of its recording; None where that is not known, as of
        a film that is not there any more."""
        if "resampling" in self.decoding:
            return np.asarray(read("times"), dtype=np.float64)
        steps = np.arange(self.length(read)) + 0.5
        if "window_seconds" in self.decoding:
            window = float(self.decoding["window_seconds"])
            num_windows = ceil(float(self.decoding["max_seconds"]) / window)
            return np.asarray(steps * window / (self.spec.shape[0] // num_windows))
        if "levels_per_token" in self.decoding:  # which begin where something is first heard
            return np.asarray(steps * int(self.decoding["levels_per_token"]) * HOP_SECONDS)
        return self._of_film(read, files=files)

    def _of_film(self, read: Read, *, files: Sequence[Path]) -> Seconds | None:
        """Frames are spread evenly over each clip, from its first to its last; a token stands for some of them."""
        num_clips, num_frames = int(self.decoding.get("num_clips", 1)), int(self.decoding["num_frames"])
        if self.decoding["sampling"] == ACTIVE:
            first, last = np.asarray(read(ACTIVE), dtype=np.float64).tolist()
        else:
            first, last = 0.0, _seconds_of_film(files)
        if not np.isfinite([first, last]).all():
            return None
        ends = np.linspace(first, last, num_clips + 1)
        frames = np.linspace(ends[:-1], ends[1:], num_frames).T
        return np.asarray(frames.reshape(self.spec.shape[0], -1).mean(axis=1))


def _seconds_of_film(files: Sequence[Path]) -> float:
    """How long it lasts, as its header says; NaN where it cannot be opened any more."""
    try:
        with complaints_heard() as complaints:
            header = read_header(files[0], limits=USUAL_LIMITS, complaints=complaints)
    except (DecodeError, IndexError):
        return float("nan")
    return header.announced / header.rate if header.announced else float("nan")
