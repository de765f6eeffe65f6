"""Video: frames sampled uniformly over a film or over parts of it, by decoding the film from its start to its end.

Seeking in these files lands on wrong frames and their headers announce frames that are not there, so a frame's index
is its place in the order of decoding, and the film's length is what decodes.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float64, Int64, UInt8

from ...errors import DecodeError
from .brightness import SECONDS_BETWEEN_MEASURES, brightness, lit_span
from .decoded import VideoClip

# A film cut short is still used when at least this share of the announced frames decodes.
MIN_DECODABLE_SHARE = 0.5

Window = tuple[float, float]


@dataclass(frozen=True)
class _Film:
    """What one pass over a film yields: the chosen frames as far as they exist, the number of all that decode, and how
    bright the film was at which times (s)."""

    frames: UInt8[np.ndarray, "time height width 3"]
    decodable: int
    brightness: Float64[np.ndarray, " measures"]
    times: Float64[np.ndarray, " measures"]

    @property
    def arc_on(self) -> Float64[np.ndarray, " 2"]:
        """As `VideoClip.arc_on`."""
        return lit_span(self.brightness, times=self.times)


def decode_video(path: Path, *, num_frames: int, window: Window | None = None, num_clips: int = 1) -> VideoClip:
    """Frames evenly spaced from the first to the last of the film, or of those within `window`, both ends included.

    `window` is in seconds from the start of the file; what of it lies outside the film is cut off. One that was read
    from the sensors is on their clock, and the arc's onset there and here differ by 1.2 s in the median.

    The film, or the window, is cut into `num_clips` equal parts, each of which yields `num_frames` frames, evenly
    spaced from its own first to its own last; part follows part along the one time axis of num_clips * num_frames.
    Where there are fewer frames than that, neighbours repeat and so do their times.

    Raises:
        DecodeError: if the file cannot be decoded, less than half of the announced frames can, the frame rate is not
            known, or `window` does not meet the film.
    """
    with _silenced():
        rate, announced = _read_header(path)
        chosen = _choose(num_frames=num_frames, num_clips=num_clips, window=window, rate=rate, available=announced)
        film = _decode(path, chosen=chosen, rate=rate)
        _check_decodable(path, decodable=film.decodable, announced=announced)
        if film.decodable != announced:
            chosen = _choose(
                num_frames=num_frames, num_clips=num_clips, window=window, rate=rate, available=film.decodable
            )
            film = _decode(path, chosen=chosen, rate=rate)
    if len(film.frames) == 0:
        raise DecodeError(
            f"{path}: the window {window} s does not meet the clip, which lasts {film.decodable / rate:.2f} s."
        )
    return VideoClip(
        frames=film.frames,
        times=chosen / rate,
        arc_on=film.arc_on,
        problems=_cut_short(film.decodable, announced, rate=rate),
    )


def lit_window(path: Path) -> Window:
    """First and last time, in seconds from the start of the film, at which the arc lights the picture.

    For a recording without sensors; it decodes the film once. What `VideoClip.arc_on` holds, on the same clock as
    `decode_video`'s `window`.

    Raises:
        DecodeError: as `decode_video`, and if the picture is never lit.
    """
    with _silenced():
        rate, announced = _read_header(path)
        film = _decode(path, chosen=np.zeros(0, dtype=np.int64), rate=rate)
        _check_decodable(path, decodable=film.decodable, announced=announced)
    first, last = film.arc_on.tolist()
    if math.isnan(first):
        raise DecodeError(
            f"{path}: the picture is dark throughout (its mean is {film.brightness.max():.0f} of 255 at most), so "
            "there is no time with the arc on."
        )
    return first, last


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


def _choose(
    *, num_frames: int, num_clips: int, window: Window | None, rate: float, available: int
) -> Int64[np.ndarray, " time"]:
    """Indices of the wanted frames, ascending; none where the window does not meet the film."""
    start, end = (0.0, available / rate) if window is None else window
    if not (start <= end and end >= 0 and start * rate < available):
        return np.zeros(0, dtype=np.int64)
    slack = 1e-6  # of a frame: 0.1 s at 30 frames a second is frame 3, not between 3 and 4
    first = math.ceil(max(0.0, start * rate - slack))
    last = math.floor(min(available - 1.0, end * rate + slack))
    if first > last:  # the window lies between two frames
        first = last = min(available - 1, max(0, round((start + end) / 2 * rate)))
    parts = [_part(clip, num_clips=num_clips, num_available=last + 1 - first) for clip in range(num_clips)]
    even = [np.linspace(first + begin, first + finish, num_frames) for begin, finish in parts]
    return np.rint(np.concatenate(even)).astype(np.int64)


def _part(clip: int, *, num_clips: int, num_available: int) -> tuple[int, int]:
    """First and last index of one of `num_clips` parts of `num_available` frames, each of which is in one part."""
    begin = -(-clip * num_available // num_clips)
    finish = -(-(clip + 1) * num_available // num_clips) - 1
    if begin > finish:  # fewer frames than parts: the one at the part's middle, which another part has too
        begin = finish = (2 * clip + 1) * num_available // (2 * num_clips)
    return begin, finish


def _decode(path: Path, *, chosen: Int64[np.ndarray, " time"], rate: float) -> _Film:
    """Decode all of a film, and convert to pixels only the frames that are chosen or measured."""
    capture = _open(path)
    frames = np.empty((0, 0, 0, 3), dtype=np.uint8)
    measured: list[float] = []
    picture: UInt8[np.ndarray, "height width 3"] | None = None
    every = max(1, round(SECONDS_BETWEEN_MEASURES * rate))
    index = 0
    # grab() decodes; retrieve() converts, which costs nearly as much again.
    while capture.grab():
        places = np.flatnonzero(chosen == index)
        if len(places) or index % every == 0:
            picture = _retrieve(capture, into=picture, path=path, index=index)
            if index % every == 0:
                measured.append(brightness(picture))
            if len(places):
                if len(frames) == 0:  # all at once and not frame by frame: a list and its stack would be twice as much
                    frames = np.empty((len(chosen), *picture.shape), dtype=np.uint8)
                frames[places] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        index += 1
    capture.release()
    return _Film(
        frames=frames[: np.searchsorted(chosen, index)],
        decodable=index,
        brightness=np.array(measured, dtype=np.float64),
        times=np.arange(len(measured)) * (every / rate),
    )


def _retrieve(
    capture: cv2.VideoCapture, *, into: UInt8[np.ndarray, "height width 3"] | None, path: Path, index: int
) -> UInt8[np.ndarray, "height width 3"]:
    """The pixels of the frame last grabbed, in OpenCV's order: blue, green, red; in the memory of `into`, if given."""
    retrieved, picture = capture.retrieve(into)
    if not retrieved or picture is None:
        raise DecodeError(f"{path}: frame {index} decodes but its pixels cannot be read.")
    return np.asarray(picture, dtype=np.uint8)


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
