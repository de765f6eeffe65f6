"""Brightness of a film's pictures, and from it the time in which the arc lights them."""

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from .onset import high_span, never
from .opencv import memory_told

# OpenCV can only convert a picture as a whole: five a second add a tenth to the time that a film takes to decode.
SECONDS_BETWEEN_MEASURES = 0.2

_ROWS = 40  # of each picture, about; 38,000 pixels of one of 960x600
_HOLD = 2  # measures: a flash of less than 0.4 s is no arc
# Light scales by factors (flicker, exposure, smoke), hence the logarithm; the offset keeps black's own noise out of it.
_BLACK = 8.0
_MIN_CONTRAST = np.log(1.4)  # from a dark level of 4: 8.8; from one of 60: 87
DARK = 16.0  # a film of one brightness is one with the arc on throughout, or never, on this side or that


def brightness(picture: UInt8[np.ndarray, "height width channels"]) -> float:
    """Mean over some 40 rows of the picture, evenly spread, and over its channels: 0 to 255.

    The mean and not a high percentile: the arc lights the whole plate, whereas the seam that glows after it is bright
    but small.
    """
    rows = picture[:: max(1, len(picture) // _ROWS)]
    with memory_told():
        return float(np.mean(cv2.mean(rows)[: picture.shape[2]]))


def lit_span(measured: Float64[np.ndarray, " n"], *, times: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " 2"]:
    """First and last of `times` at which the picture is lit, from the brightness measured then.

    So the arc is on for up to one interval more at either end. A film that is bright throughout is lit from its first
    to its last time; NaN twice for one that is dark throughout.
    """
    span = high_span(np.log(measured + _BLACK), hold=_HOLD, min_contrast=_MIN_CONTRAST)
    if span is None and len(measured) and np.median(measured) >= DARK:
        span = 0, len(measured) - 1
    return never() if span is None else times[list(span)]
