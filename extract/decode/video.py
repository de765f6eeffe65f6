"""Video: frames sampled uniformly over a clip, or over a window of it, by decoding the clip from its start to its end.

Seeking in these files lands on wrong frames and their headers announce frames that are not there, so a frame's index
is its place in the order of decoding, and the clip's length is what decodes.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Int64, UInt8

from ...errors import DecodeError
from .decoded import VideoClip

# A clip cut short is still used when at least this share of the announced frames decodes.
MIN_DECODABLE_SHARE = 0.5

Window = tuple[float, float]


def decode_video(path: Path, *, num_frames: int, window: Window | None) -> VideoClip:
    """Frames evenly spaced from the first to the last of the clip, or of those within `window`, both ends included.

    `window` is in seconds from the start of the file; what of it lies outside the clip is cut off. Where there are
    fewer frames than `num_frames`, neighbours repeat and so do their times.

    Raises:
        DecodeError: if the file cannot be decoded, less than half of the announced frames can, the frame rate is not
            known, or `window` does not meet the clip.
    """
    with _silenced():
        rate, announced = _read_header(path)
        chosen = _choose(num_frames=num_frames, window=window, rate=rate, available=announced)
        frames, decodable = _decode(path, chosen=chosen)
        if decodable != announced:
            _check_decodable(path, decodable=decodable, announced=announced)
            chosen = _choose(num_frames=num_frames, window=window, rate=rate, available=decodable)
            frames, _ = _decode(path, chosen=chosen)
    if not frames:
        raise DecodeError(
            f"{path}: the window {window} s does not meet the clip, which lasts {decodable / rate:.2f} s."
        )
    return VideoClip(frames=np.stack(frames), times=chosen / rate, problems=_cut_short(decodable, announced, rate=rate))


def _cut_short(decodable: int, announced: int, *, rate: float) -> tuple[str, ...]:
    if decodable >= announced:
        return ()
    sampled = f"the frames are sampled from its first {decodable / rate:.1f} s"
    return (f"the header announces {announced} frames and {decodable} decode; {sampled}",)


def _read_header(path: Path) -> tuple[float, int]:
    """Frame rate in frames a second, and the announced number of frames, 0 where the file names none."""
    capture = _open(path)
    rate = capture.get(cv2.CAP_PROP_FPS)
    announced = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    if not (math.isfinite(rate) and rate > 0):
        raise DecodeError(f"{path}: the video does not say its frame rate (got {rate}).")
    return rate, max(0, int(announced)) if math.isfinite(announced) else 0


def _open(path: Path) -> cv2.VideoCapture:
    # Only FFmpeg: other backends would take a digit in the name for a numbered series of pictures. It heeds the
    # number of threads that the process allows OpenCV only when told.
    threads = [cv2.CAP_PROP_N_THREADS, max(1, cv2.getNumThreads())]
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG, threads)
    if not capture.isOpened():
        raise DecodeError(f"{path}: {_why_unopened(path)}.")
    return capture


def _why_unopened(path: Path) -> str:
    if not path.is_file():
        return "the video file is not there"
    if path.stat().st_size == 0:
        return "the video file is empty"
    return "not a video that FFmpeg can open: truncated, damaged or another format"


def _choose(*, num_frames: int, window: Window | None, rate: float, available: int) -> Int64[np.ndarray, " time"]:
    """Indices of the wanted frames, ascending; none where the window does not meet the clip."""
    start, end = (0.0, available / rate) if window is None else window
    if not (start <= end and end >= 0 and start * rate < available):
        return np.zeros(0, dtype=np.int64)
    slack = 1e-6  # of a frame: 0.1 s at 30 frames a second is frame 3, not between 3 and 4
    first = math.ceil(max(0.0, start * rate - slack))
    last = math.floor(min(available - 1.0, end * rate + slack))
    if first > last:  # the window lies between two frames
        first = last = min(available - 1, max(0, round((start + end) / 2 * rate)))
    return np.rint(np.linspace(first, last, num_frames)).astype(np.int64)


def _decode(path: Path, *, chosen: Int64[np.ndarray, " time"]) -> tuple[list[UInt8[np.ndarray, "height width 3"]], int]:
    """The frames at `chosen` as far as they exist, and how many frames the whole file holds."""
    capture = _open(path)
    frames: list[UInt8[np.ndarray, "height width 3"]] = []
    index = 0
    # grab() decodes; retrieve() converts to pixels, which only the wanted frames need.
    while capture.grab():
        wanted = int(np.count_nonzero(chosen == index))
        if wanted:
            frames.extend([_retrieve(capture, path=path, index=index)] * wanted)
        index += 1
    capture.release()
    return frames, index


def _retrieve(capture: cv2.VideoCapture, *, path: Path, index: int) -> UInt8[np.ndarray, "height width 3"]:
    retrieved, frame = capture.retrieve()
    if not retrieved or frame is None:
        raise DecodeError(f"{path}: frame {index} decodes but its pixels cannot be read.")
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _check_decodable(path: Path, *, decodable: int, announced: int) -> None:
    if decodable == 0:
        raise DecodeError(f"{path}: the header announces {announced} frames and none of them decodes.")
    if decodable < MIN_DECODABLE_SHARE * announced:
        raise DecodeError(
            f"{path}: the header announces {announced} frames and only {decodable} decode, "
            f"less than {MIN_DECODABLE_SHARE:.0%}; the file is damaged or cut short."
        )


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep OpenCV's and FFmpeg's complaints about damaged files off the terminal; the error says what matters.

    FFmpeg's level is read from the environment once, when the process opens its first video.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    variable = "OPENCV_FFMPEG_LOGLEVEL"
    chosen_by_user = variable in os.environ
    os.environ.setdefault(variable, "-8")
    try:
        yield
    finally:
        if not chosen_by_user:
            del os.environ[variable]
        cv2.utils.logging.setLogLevel(level)
