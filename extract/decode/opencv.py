"""Whether memory ran out, told apart from what OpenCV says, or does not say, of a damaged file.

It depends on what else the machine does, so it must never be taken for a property of the file.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np

# What a decoder takes for each pixel at most, in all: a progressive picture's coefficients and its pixels, a film's
# frames that later ones refer to.
_BYTES_A_PIXEL = 16


@contextmanager
def memory_told() -> Iterator[None]:
    """Around every call of OpenCV on a file's pixels: a failed allocation is a MemoryError."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError(f"OpenCV: {error.err}") from error
        raise


def check_memory(num_pixels: float) -> None:
    """After a decoder has failed without a reason: MemoryError unless there is what it may have asked for."""
    np.empty(int(num_pixels * _BYTES_A_PIXEL), dtype=np.uint8)
