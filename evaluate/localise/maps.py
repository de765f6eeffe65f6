"""Scores by place, as they lie on the original picture or over a recording's time."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64

_SHARES = (0.5, 0.999)  # of all patches, below which a score has no colour, and above which the strongest

Box = tuple[int, int, int, int]
"""Left, top, right and bottom of some pixels, the last two excluded, of a picture upright as its EXIF says."""


@dataclass(frozen=True, eq=False)
class PictureMap:
    """Scores of the patches of one picture.

    Attributes:
        feature: whose patches they are, such as `image`.
        file: the picture, below the data set's root, with forward slashes.
        view: which of the sample's pictures it is, from 0.
        scores: of each patch, rows from the top; higher is more anomalous.
        box: the original pixels that the grid covers, each patch an equal part.
    """

    feature: str
    file: str
    view: int
    scores: Float32[np.ndarray, "rows columns"]
    box: Box

    def on_pixels(self) -> Float32[np.ndarray, "height width"]:
        """A score for each pixel of the box, linear between the middles of patches."""
        left, top, right, bottom = self.box
        spread = cv2.resize(self.scores, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
        return np.asarray(spread, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class TimeMap:
    """Scores of the steps of one recording.

    Attributes:
        feature: whose steps they are, such as `video`, `audio` or `sensor`.
        seconds: the middle of each step, from the start of the recording; of sound in bands, from where something is
            first heard.
        scores: of each step; higher is more anomalous.
    """

    feature: str
    seconds: Float64[np.ndarray, " steps"]
    scores: Float32[np.ndarray, " steps"]


@dataclass(frozen=True, eq=False)
class SampleMaps:
    """All maps of one sample; none of what it lacks, or of which it is not known where it lies."""

    pictures: tuple[PictureMap, ...] = ()
    times: tuple[TimeMap, ...] = ()


@dataclass(frozen=True)
class ColourScale:
    """From which score to which colours go: alike for all samples that are shown together, so that they compare."""

    low: float
    high: float

    @classmethod
    def of(cls, maps: Iterable[SampleMaps]) -> "ColourScale":
        """By the patches of all pictures."""
        grids = [each.scores.ravel() for sample in maps for each in sample.pictures]
        low, high = np.quantile(np.concatenate(grids), _SHARES) if grids else (0.0, 1.0)
        return cls(float(low), float(high))

    def shares(self, scores: Float32[np.ndarray, "rows columns"]) -> Float32[np.ndarray, "rows columns"]:
        """How strong the colour of each score is, from 0 to 1; 0 everywhere where all scores are alike."""
        return np.asarray(np.clip((scores - self.low) / max(self.high - self.low, 1e-30), 0, 1), dtype=np.float32)
