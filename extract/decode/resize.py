"""Antialiased resize of pictures and frames, the one that every vision backbone's preparation uses."""

import cv2
import numpy as np
from jaxtyping import UInt8

from .opencv import memory_told

# Names what `resize_antialiased` does, for manifests: features made by another resize must not pass for these.
INTERPOLATION = "opencv: area where an axis shrinks, linear where it grows"


def resize_antialiased(
    image: UInt8[np.ndarray, "height_in width_in 3"], *, height: int, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The whole image at `height` x `width` pixels; the aspect ratio is the caller's concern.

    An axis that shrinks is averaged over the pixels it covers, so nothing aliases; one that grows is interpolated
    linearly, which never overshoots.
    """
    resized = _resize(image, height=min(height, image.shape[0]), width=min(width, image.shape[1]))
    return _resize(resized, height=height, width=width)


def _resize(image: UInt8[np.ndarray, "..."], *, height: int, width: int) -> UInt8[np.ndarray, "..."]:
    if image.shape[:2] == (height, width):
        return image
    # OpenCV turns "area" into "linear", without antialiasing, as soon as one axis grows: hence one kind at a time.
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    with memory_told():
        return np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), dtype=np.uint8)
