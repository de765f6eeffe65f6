"""Rectangles of a photograph, given as fractions of its size: cropping to one, painting others over."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from ...configs.section import Rectangle

# ImageNet's mean colour in RGB, the mean that vision backbones subtract: about zero once normalised.
MASK_COLOUR = (124, 116, 104)


def paint_over(
    picture: UInt8[np.ndarray, "height width 3"], *, masks: Sequence[Rectangle]
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy in which every pixel that a mask touches, however slightly, has `MASK_COLOUR`."""
    painted = picture.copy()
    height, width = picture.shape[:2]
    for left, top, right, bottom in masks:
        columns = slice(math.floor(left * width), math.ceil(right * width))
        rows = slice(math.floor(top * height), math.ceil(bottom * height))
        painted[rows, columns] = MASK_COLOUR
    return painted


def crop_to(picture: UInt8[np.ndarray, "height width 3"], *, crop: Rectangle) -> UInt8[np.ndarray, "_height _width 3"]:
    """The pixels that lie within `crop` as a whole, so that nothing from outside it shows.

    Where no row or column does, the one at the middle of the crop is taken: no crop is empty.
    """
    height, width = picture.shape[:2]
    left, top, right, bottom = crop
    return picture[_within(top, bottom, size=height), _within(left, right, size=width)].copy()


def _within(start: float, end: float, *, size: int) -> slice:
    slack = 1e-6  # of a pixel: 0.1 of 30 pixels are 3, whatever floating point makes of it
    first = math.ceil(start * size - slack)
    last = math.floor(end * size + slack)
    if first >= last:
        first = min(int((start + end) / 2 * size), size - 1)
        last = first + 1
    return slice(first, last)
