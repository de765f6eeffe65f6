"""A film read once from its first frame to its last: chosen frames, the time of each frame, brightness, damage.

Seeking in these files lands on wrong frames and their headers announce frames that are not there, so a frame's index
is its place in the order of decoding. When it was taken is what the file's own time stamp says: a recorder that
stalled leaves out frames, or leaves them empty, and the next one is later than its index tells.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt8

from ...errors import DecodeError
from ...wording import visible
from ..features.settings import FilmLimits
from .decoded import high_span, never
from .media import Complaints, check_memory, memory_told, open_capture, require_readable

# FFmpeg may fail at a frame and go on with the next; at the end of a film it fails for ever. Nothing honest fails at
# more in a row than this and then decodes again.
_MOST_FAILURES_IN_A_ROW = 300

# A film with fewer instants at which its brightness is measured is measured at every frame: one that lasts less than a
# second, or whose header says so, would be judged by its first frame.
_FEW_MEASURES = 5

_PIXELS_UNKNOWN = 4_000_000  # of a film that does not open: about 4K

# Containers round time stamps to a millisecond, or do not; one that is this near to a whole number of frames is one.
_STAMPS_ROUNDED_TO = 6e-4  # s

_Picture = UInt8[np.ndarray, "height width 3"]


USUAL_LIMITS = FilmLimits()

# OpenCV can only convert a picture as a whole: five a second add a tenth to the time that a film takes to decode.
SECONDS_BETWEEN_MEASURES = 0.2

_ROWS = 40  # of each picture, about; 38,000 pixels of one of 960x600
_HOLD = 2  # measures: a flash of less than 0.4 s is no process
# Light scales by factors (flicker, exposure, smoke), hence the logarithm; the offset keeps black's own noise out of it.
_BLACK = 8.0
_MIN_CONTRAST = np.log(1.4)  # from a dark level of 4: 8.8; from one of 60: 87
DARK = 16.0  # a film of one brightness is one lit throughout, or never, on this side or that


@dataclass(frozen=True)
class FilmHeader:
    """What a film's header says, of which the number of frames need not be true."""

    rate: float  # frames a second
    announced: int  # frames; 0 where the file names no number
    num_pixels: int  # of a frame
    most_frames: int  # that the limits allow at this size
    codec: str  # four characters


@dataclass(frozen=True)
class Film:
    """What one pass over a film yields: the chosen frames as far as they exist, and about every frame that decodes when
    it was taken, in frames at the film's rate from its start: 0, 1, 2 and so on where none is missing."""

    frames: UInt8[np.ndarray, "chosen height width 3"]
    slots: Float64[np.ndarray, " frames"]
    patched: Bool[np.ndarray, " frames"]  # damaged, and completed from their neighbours
    num_failed: int  # frames that do not decode although later ones do
    brightness: Float64[np.ndarray, " measures"]
    times: Float64[np.ndarray, " measures"]  # s

    @property
    def active(self) -> Float64[np.ndarray, " 2"]:
        """As `VideoClip.active`."""
        return lit_span(self.brightness, times=self.times)

    @property
    def end(self) -> float:
        """Where the film ends, in frames from its start."""
        return float(self.slots[-1]) + 1 if len(self.slots) else 0.0


@dataclass(frozen=True)
class _Grabbed:
    """A frame that decodes, before its pixels are asked for."""

    place: int  # among all that were tried
    stamp: float  # in frames from the start of the film, as the file says; need not be true
    patched: bool


def read_header(path: Path, *, limits: FilmLimits, complaints: Complaints) -> FilmHeader:
    """Open a film and close it again.

    Raises:
        DecodeError: if it cannot be opened, says no frame rate, or is beyond `limits`.
        MemoryError: if memory runs out, which says nothing about the film.
    """
    capture = _open(path, complaints=complaints)
    rate, announced = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    codec = int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1")
    capture.release()
    if not (math.isfinite(rate) and rate > 0):
        raise DecodeError(f"{path}: the video does not say its frame rate (got {rate}).")
    if not 0 < width * height <= limits.max_megapixels * 1e6:
        raise DecodeError(
            f"{path}: the film's frames have {width:,} x {height:,} pixels, more than max_megapixels = "
            f"{limits.max_megapixels:g} allows; raise that if they are so large."
        )
    most_frames = int(limits.max_gigapixels * 1e9 / (width * height))
    num_announced = max(0, int(announced)) if math.isfinite(announced) else 0
    header = FilmHeader(rate, num_announced, width * height, most_frames, visible(codec.strip("\0 ")) or "unnamed")
    _check_length(path, header.announced, most_frames=most_frames)
    return header


def read_film(path: Path, header: FilmHeader, *, chosen: Int64[np.ndarray, " chosen"], complaints: Complaints) -> Film:
    """Decode all of a film, and convert to pixels only the frames that are chosen, by ascending index, or measured.

    A frame that does not decode is one frame less: the next ones are tried, as many as the header announces.

    Raises:
        DecodeError: if it has more frames than the limits allow, or its pixels cannot be had.
        MemoryError: if memory runs out, which says nothing about the film.
    """
    capture = _open(path, complaints=complaints)
    every = max(1, round(SECONDS_BETWEEN_MEASURES * header.rate))
    num_first = _FEW_MEASURES * every if header.announced < _FEW_MEASURES * every else 0  # all of which are measured
    frames = np.empty((0, 0, 0, 3), dtype=np.uint8)
    grabbed: list[_Grabbed] = []
    measured: dict[int, float] = {}
    picture: _Picture | None = None
    for index, frame in enumerate(_grab(capture, header, complaints=complaints)):
        _check_length(path, index + 1, most_frames=header.most_frames)
        wanted = np.flatnonzero(chosen == index)
        # By place as well, because only at the end it is known whether the stamps are times.
        measure = index < max(1, num_first) or _ticks(frame, every=every) != _ticks(grabbed[-1], every=every)
        if len(wanted) or measure:
            picture = _retrieve(capture, header, into=picture, path=path, index=index)
        if picture is not None and measure:
            measured[index] = brightness(picture)
        if picture is not None and len(wanted):
            if len(frames) == 0:  # all at once and not frame by frame: a list and its stack would be twice as much
                frames = np.empty((len(chosen), *picture.shape), dtype=np.uint8)
            with memory_told():
                frames[wanted] = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        grabbed.append(frame)
    capture.release()
    slots = _slots(grabbed)
    at = np.flatnonzero(np.diff(slots // every, prepend=-1.0))
    if len(at) < _FEW_MEASURES and len(measured) == len(grabbed):
        at, every = np.arange(len(grabbed)), 1
    return Film(
        frames=frames[: np.searchsorted(chosen, len(grabbed))],
        slots=slots,
        patched=np.array([frame.patched for frame in grabbed], dtype=bool),
        num_failed=grabbed[-1].place + 1 - len(grabbed) if grabbed else 0,
        brightness=np.array([measured[index] for index in at.tolist()], dtype=np.float64),
        times=slots[at] / every * (every / header.rate),
    )


def _check_length(path: Path, num_frames: int, *, most_frames: int) -> None:
    if num_frames > most_frames:
        raise DecodeError(
            f"{path}: the film has {num_frames:,} frames or more, and max_gigapixels allows {most_frames:,} of "
            "their size; raise it if the film is that long."
        )


def _open(path: Path, *, complaints: Complaints) -> cv2.VideoCapture:
    require_readable(path, what="video file")
    capture = open_capture(path)
    complaints.take()
    if not capture.isOpened():
        check_memory(_PIXELS_UNKNOWN)
        raise DecodeError(
            f"{path}: not a video that FFmpeg can open: truncated, damaged or another format. {mend_told(path)}"
        )
    return capture


def mend_told(path: Path) -> str:
    """How a film may be brought into a format that is read."""
    return f"If it plays elsewhere, write it anew: ffmpeg -i {path.name} -c:v libx264 {path.stem}.new.mp4"


def _grab(capture: cv2.VideoCapture, header: FilmHeader, *, complaints: Complaints) -> Iterator[_Grabbed]:
    """Every frame that decodes, one after the other."""
    place = failures = 0
    while failures == 0 or (place < header.announced and failures < _MOST_FAILURES_IN_A_ROW):
        # grab() decodes; retrieve() converts, which costs nearly as much again.
        decodes = capture.grab()
        patched = bool(complaints.take())
        failures = 0 if decodes else failures + 1
        if not decodes and place < header.announced:
            check_memory(header.num_pixels)
        if decodes:
            yield _Grabbed(place, _in_frames(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, rate=header.rate), patched)
        place += 1


def _in_frames(seconds: float, *, rate: float) -> float:
    if not math.isfinite(seconds):
        return -1.0
    nearest = round(seconds * rate)
    return float(nearest) if abs(nearest / rate - seconds) <= _STAMPS_ROUNDED_TO else seconds * rate


def _ticks(frame: _Grabbed, *, every: int) -> tuple[int, int]:
    return frame.place // every, int(frame.stamp // every)


def _slots(grabbed: Sequence[_Grabbed]) -> Float64[np.ndarray, " frames"]:
    """The stamps, or the places of frames where the stamps do not ascend: an AVI with frames that refer to later ones
    has those of the data and not those of the pictures."""
    stamps = np.array([frame.stamp for frame in grabbed], dtype=np.float64)
    if len(stamps) and stamps[0] >= 0 and (np.diff(stamps) > 0).all():
        return stamps
    return np.array([frame.place for frame in grabbed], dtype=np.float64)


def _retrieve(
    capture: cv2.VideoCapture, header: FilmHeader, *, into: _Picture | None, path: Path, index: int
) -> _Picture:
    """The pixels of the frame last grabbed, in OpenCV's order: blue, green, red; in the memory of `into`, if given."""
    try:
        with memory_told():
            retrieved, picture = capture.retrieve(into)
    except cv2.error as error:
        raise DecodeError(f"{path}: the pixels of frame {index} cannot be read ({error.err}).") from error
    if not retrieved or picture is None:
        check_memory(header.num_pixels)
        raise DecodeError(f"{path}: frame {index} decodes but its pixels cannot be read.")
    if into is not None and picture.shape != into.shape:
        raise DecodeError(f"{path}: the size of its frames changes at frame {index}.")
    return np.asarray(picture, dtype=np.uint8)


def brightness(picture: UInt8[np.ndarray, "height width channels"]) -> float:
    """Mean over some 40 rows of the picture, evenly spread, and over its channels: 0 to 255.

    The mean and not a high percentile: what is going on lights all around it, whereas what glows afterwards is bright
    but small.
    """
    rows = picture[:: max(1, len(picture) // _ROWS)]
    with memory_told():
        return float(np.mean(cv2.mean(rows)[: picture.shape[2]]))


def lit_span(measured: Float64[np.ndarray, " n"], *, times: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " 2"]:
    """First and last of `times` at which the picture is lit, from the brightness measured then.

    So it is lit for up to one interval more at either end. A film that is bright throughout is lit from its first
    to its last time; NaN twice for one that is dark throughout.
    """
    span = high_span(np.log(measured + _BLACK), hold=_HOLD, min_contrast=_MIN_CONTRAST)
    if span is None and len(measured) and np.median(measured) >= DARK:
        span = 0, len(measured) - 1
    return never() if span is None else times[list(span)]
