"""OpenCV as this package calls it: what it may read, and memory that ran out told apart from a damaged file.

Whether memory runs out depends on what else the machine does, so it must never be taken for a property of the file.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

# Containers of films. FFmpeg knows hundreds of formats, among them lists of other files, which would be read instead.
_CONTAINERS = ("avi", "mov", "matroska", "mpeg", "mpegts", "asf", "mxf", "ogg", "flv")

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


def open_capture(path: Path) -> cv2.VideoCapture:
    """A film, opened by FFmpeg alone: other backends would take a digit in the name for a numbered series of pictures.

    FFmpeg heeds the number of threads that the process allows OpenCV only when told.
    """
    threads = [cv2.CAP_PROP_N_THREADS, max(1, cv2.getNumThreads())]
    with memory_told(), environment("OPENCV_FFMPEG_CAPTURE_OPTIONS", f"format_whitelist;{','.join(_CONTAINERS)}"):
        return cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, threads)


@contextmanager
def environment(variable: str, value: str) -> Iterator[None]:
    """With an environment variable that OpenCV reads, unless the user has set it."""
    chosen_by_user = variable in os.environ
    os.environ.setdefault(variable, value)
    try:
        yield
    finally:
        if not chosen_by_user:
            os.environ.pop(variable, None)


def check_memory(num_pixels: int) -> None:
    """After a decoder has failed without a reason: MemoryError unless there is what it may have asked for."""
    np.empty(num_pixels * _BYTES_A_PIXEL, dtype=np.uint8)
