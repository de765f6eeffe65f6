"""What FFmpeg complains of while it decodes: OpenCV neither returns nor counts it, so it is read off the stderr.

A damaged frame is patched up with pieces of its neighbours, and nothing else tells so. Only a decode process can
listen: its stderr is its own. In the main process other threads write to it, and a bar is drawn on it.
"""

import multiprocessing
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import cv2

from .opencv import environment

_STDERR = 2
_LINE = re.compile(rb"\[[^\]\n]* @ 0x[0-9a-f]+\] ([^\n]*)\n?")
# What FFmpeg says while it finds out a file's format, of no file in particular.
_NOISE = re.compile(rb"(?:Ignoring attempt to set invalid timebase|Not detecting m3u8/hls)[^\n]*\n?")
_OF_MEMORY = re.compile("cannot allocate|failed to allocate|get_buffer", re.IGNORECASE)


class Complaints:
    """Those of one film, as far as they can be heard."""

    def __init__(self, *, held: int | None = None, stderr: int | None = None) -> None:
        """`held` is the file that stands in for the process's stderr, if one does, and `stderr` that itself."""
        self._held = held
        self._stderr = stderr

    def take(self) -> Sequence[str]:
        """What FFmpeg has said since the last time; anything else that was written meanwhile goes to the stderr.

        Raises:
            MemoryError: if it says that memory has run out, of which OpenCV makes a frame that is not there.
        """
        if self._held is None or self._stderr is None or not (size := os.lseek(self._held, 0, os.SEEK_CUR)):
            return ()
        written = os.pread(self._held, size, 0)
        os.lseek(self._held, 0, os.SEEK_SET)
        os.ftruncate(self._held, 0)
        os.write(self._stderr, _NOISE.sub(b"", _LINE.sub(b"", written)))
        lines = [line.decode(errors="replace") for line in _LINE.findall(written)]
        for line in filter(_OF_MEMORY.search, lines):
            raise MemoryError(f"FFmpeg: {line}")
        return lines


@contextmanager
def complaints_heard() -> Iterator[Complaints]:
    """Keep OpenCV's and FFmpeg's complaints about damaged films off the terminal, and hear them in a decode process."""
    with _opencv_silent(), _silenced() if _in_main_process() else _heard() as complaints:
        yield complaints


@contextmanager
def complaints_unheard() -> Iterator[None]:
    """Keep what OpenCV, libpng and libtiff say of a damaged picture off the terminal, the libraries in a decode process
    alone: whoever decodes it tells what is wrong, and of which file."""
    with _opencv_silent():
        if _in_main_process():
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            with _stderr_to(nowhere):
                yield
        finally:
            os.close(nowhere)


def _in_main_process() -> bool:
    return multiprocessing.parent_process() is None


@contextmanager
def _opencv_silent() -> Iterator[None]:
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


@contextmanager
def _silenced() -> Iterator[Complaints]:
    """FFmpeg's level is read from the environment once, when the process opens its first video."""
    with environment("OPENCV_FFMPEG_LOGLEVEL", "-8"):
        yield Complaints()


@contextmanager
def _heard() -> Iterator[Complaints]:
    with tempfile.TemporaryFile(buffering=0) as held, _stderr_to(held.fileno()) as stderr:
        yield Complaints(held=held.fileno(), stderr=stderr)


@contextmanager
def _stderr_to(descriptor: int) -> Iterator[int]:
    """Yields where the stderr went before."""
    stderr = _copy_of_stderr()
    os.dup2(descriptor, _STDERR)
    try:
        yield stderr
    finally:
        os.dup2(stderr, _STDERR)
        os.close(stderr)


def _copy_of_stderr() -> int:
    try:
        return os.dup(_STDERR)
    except OSError:  # a service may have none
        return os.open(os.devnull, os.O_WRONLY)
