"""A media file before and while it is decoded: refused in the same words, and OpenCV kept honest.

Memory that ran out is told apart from a damaged file: whether it does depends on what else the machine does, so it
must never be taken for a property of the file. And what FFmpeg complains of is heard: OpenCV neither returns nor counts
it, and a damaged frame is patched up with pieces of its neighbours without a word. Only a decode process can listen,
because its stderr is its own: in the main process other threads write to it, and a bar is drawn on it.
"""

import errno
import multiprocessing
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ...documents import MOST_BYTES, open_regular, read_regular_file
from ...errors import DecodeError

# Containers of films. FFmpeg knows hundreds of formats, among them lists of other files, which would be read instead.
_CONTAINERS = ("avi", "mov", "matroska", "mpeg", "mpegts", "asf", "mxf", "ogg", "flv")

# What a decoder takes for each pixel at most, in all: a progressive picture's coefficients and its pixels, a film's
# frames that later ones refer to.
_BYTES_A_PIXEL = 16

_STDERR = 2
_LINE = re.compile(rb"\[[^\]\n]* @ 0x[0-9a-f]+\] ([^\n]*)\n?")
# What FFmpeg says while it finds out a file's format, of no file in particular.
_NOISE = re.compile(rb"(?:Ignoring attempt to set invalid timebase|Not detecting m3u8/hls)[^\n]*\n?")
_OF_MEMORY = re.compile("cannot allocate|failed to allocate|get_buffer", re.IGNORECASE)


def require_readable(path: Path, *, what: str) -> None:
    """Refuse a file that a library is to open by its name: at a pipe it would wait for ever.

    Raises:
        DecodeError: if the file is missing, not a regular file, empty, or may not be read.
    """
    with refusals_told(path, what=what), open_regular(path) as file:
        content = file.read(1)
    _require_content(path, content, what=what)


def read_content(path: Path, *, what: str, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a file.

    Raises:
        DecodeError: as `require_readable`, and if there are more than `most_bytes`.
    """
    with refusals_told(path, what=what):
        content = read_regular_file(path, most_bytes=most_bytes)
    _require_content(path, content, what=what)
    return content


@contextmanager
def refusals_told(path: Path, *, what: str) -> Iterator[None]:
    """What opening or reading refuses, as a DecodeError; memory that ran out, as a MemoryError."""
    try:
        yield
    except FileNotFoundError as error:
        raise DecodeError(f"{path}: the {what} is not there.") from error
    except OSError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError(str(error)) from error  # which says nothing about the file
        raise DecodeError(f"{path}: the {what} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DecodeError(f"{path}: the {what} cannot be read ({error}).") from error


def _require_content(path: Path, content: bytes, *, what: str) -> None:
    if not content:
        raise DecodeError(f"{path}: the {what} is empty.")


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


class Complaints:
    """What FFmpeg complains of while it decodes one film, as far as it can be heard."""

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
