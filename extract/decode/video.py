"""Video: frames sampled evenly in time over a film or over parts of it, and what is odd about the film."""

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Float64, Int64

from ...documents import open_regular
from ...errors import DecodeError
from ...wording import count_of
from ..features.settings import FilmLimits
from .decoded import VideoClip
from .film import DARK, SECONDS_BETWEEN_MEASURES, USUAL_LIMITS, Film, FilmHeader, mend_told, read_film, read_header
from .media import complaints_heard, refusals_told
from .picture_file import jpeg_size

_HEAD = 4096  # bytes of a frame: a JPEG's size comes behind its tables, which take some hundreds

# A film cut short is still used when at least this share of the announced frames decodes.
MIN_DECODABLE_SHARE = 0.5

_UNCHANGING = 0.5  # of 255: how far the light of a film varies in which nothing happens
_MANY_MEASURES = 5  # a second

# Cameras beside a machine take 10 to 60 pictures a second. A header that says far more or less mostly has the ticks of
# a clock in place of pictures, or a wrong scale.
_LEAST_RATE, _MOST_RATE = 1.0, 240.0
_ESTIMATED_TO = 1.1  # some containers name no number of frames, and their length is taken for it

Window = tuple[float, float]


@dataclass(frozen=True)
class AviStructure:
    """What the structure of an AVI tells and FFmpeg passes over; of another file, no second film and no other sizes."""

    second_film: bool = False  # not a continuation, which a film of more than a gigabyte has
    num_other_sizes: int = 0  # JPEGs that are not of the size that most have; OpenCV scales them without a word


def read_structure(path: Path) -> AviStructure:
    """Go from chunk to chunk, as far as their sizes lead.

    Raises:
        DecodeError: if the file cannot be read any more.
    """
    num_films = 0
    sizes: Counter[tuple[int, int]] = Counter()
    with refusals_told(path, what="video file"), open_regular(path) as file:
        for name, head in _chunks(file):
            if name == b"RIFF":
                num_films += head[:4] == b"AVI "
            elif name[2:] in (b"dc", b"db") and (size := jpeg_size(head)):
                sizes[size] += 1
    return AviStructure(second_film=num_films > 1, num_other_sizes=sizes.total() - max(sizes.values(), default=0))


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Name and first bytes of each chunk; after a list come its members."""
    place = 0
    while len(header := file.read(8)) == 8 and header[:4].isalnum():
        name, size = header[:4], int.from_bytes(header[4:], "little")
        if place == 0 and name != b"RIFF":
            return
        yield name, file.read(min(size, _HEAD))
        place += 12 if name in (b"RIFF", b"LIST") else 8 + size + size % 2
        file.seek(place)


def decode_video(
    path: Path,
    *,
    num_frames: int,
    window: Window | None = None,
    num_clips: int = 1,
    limits: FilmLimits = USUAL_LIMITS,
) -> VideoClip:
    """Frames evenly spaced from the first to the last of the film, or of those within `window`, both ends included.

    `window` is in seconds from the start of the file; what of it lies outside the film is cut off. One that was read
    from measurements is on their clock, and the onsets there and here may lie a second and more apart.

    The film, or the window, is cut into `num_clips` equal parts, each of which yields `num_frames` frames, evenly
    spaced from its own first to its own last; part follows part along the one time axis of num_clips * num_frames.
    Where there are fewer frames than that, neighbours repeat and so do their times. Times are the file's own stamps:
    where frames are missing, those beside the gap stand for it.

    Raises:
        DecodeError: if the file cannot be decoded, less than half of the announced frames can, the frame rate is not
            known, it is beyond `limits`, or `window` does not meet the film.
        MemoryError: if memory runs out, which says nothing about the film.
    """
    with complaints_heard() as complaints:
        header = read_header(path, limits=limits, complaints=complaints)
        expected = np.arange(header.announced, dtype=np.float64)

        def choose(slots: Float64[np.ndarray, " frames"]) -> Int64[np.ndarray, " chosen"]:
            return _choose(slots, num_frames=num_frames, num_clips=num_clips, window=window, rate=header.rate)

        chosen = choose(expected)
        film = read_film(path, header, chosen=chosen, complaints=complaints)
        _check_decodable(path, film, header)
        if not np.array_equal(film.slots, expected):
            chosen = choose(film.slots)
            film = read_film(path, header, chosen=chosen, complaints=complaints)
    structure = read_structure(path)
    if len(film.frames) == 0:
        raise DecodeError(
            f"{path}: the window {window} s does not meet the clip, which lasts {film.end / header.rate:.2f} s."
        )
    height, width = map(float, film.frames.shape[1:3])
    extent = {"width": width, "height": height, "frames": float(len(film.slots)), "seconds": film.end / header.rate}
    return VideoClip(
        frames=film.frames,
        times=film.slots[chosen] / header.rate,
        active=film.active,
        notes=tuple(f"{path}: {what}" for what in _oddities(film, header, structure, num_frames=num_frames)),
        extents={path: extent},
    )


def lit_window(path: Path, *, limits: FilmLimits = USUAL_LIMITS) -> Window | None:
    """First and last time, in seconds from the start of the film, at which the picture is lit; None if it never is.

    It decodes the film once. What `VideoClip.active` holds, on the same clock as `decode_video`'s `window`.

    Raises:
        DecodeError: as `decode_video`.
        MemoryError: as `decode_video`.
    """
    with complaints_heard() as complaints:
        header = read_header(path, limits=limits, complaints=complaints)
        film = read_film(path, header, chosen=np.zeros(0, dtype=np.int64), complaints=complaints)
    _check_decodable(path, film, header)
    first, last = film.active.tolist()
    return None if math.isnan(first) else (first, last)


def _check_decodable(path: Path, film: Film, header: FilmHeader) -> None:
    """Frames that were left out, or left empty, by the recorder are no damage."""
    decodable, announced = len(film.slots), header.announced
    if decodable == 0:
        raise DecodeError(
            f"{path}: the header announces {count_of(announced, 'frame')} and none of them decodes: "
            f"damaged, or of a codec ({header.codec}) that is not read here. {mend_told(path)}"
        )
    lost = film.num_failed + _cut_off(film, header)
    if announced - lost < MIN_DECODABLE_SHARE * announced:
        raise DecodeError(
            f"{path}: the header announces {count_of(announced, 'frame')} and only {decodable:,} decode, "
            f"less than {MIN_DECODABLE_SHARE:.0%}; the file is damaged or cut short, or begins late, which "
            f"ffmpeg -i {path.name} -c copy {path.stem}.new{path.suffix} mends."
        )


def _cut_off(film: Film, header: FilmHeader) -> int:
    """Announced frames that are missing at the film's end."""
    if len(film.slots) + film.num_failed >= header.announced:  # all are there, at whatever times
        return 0
    return max(0, round(header.announced - film.end))


def _oddities(film: Film, header: FilmHeader, structure: AviStructure, *, num_frames: int) -> Iterator[str]:
    """What a user should know of a film that is used, in words."""
    rate, announced, decodable = header.rate, header.announced, len(film.slots)
    if not _LEAST_RATE <= rate <= _MOST_RATE:
        yield (
            f"the film says that it has {rate:,.10g} frames a second and so lasts {film.end / rate:,.5g} s: its times "
            "are not to be trusted unless its camera was that fast"
        )
    if structure.second_film:
        yield "a second film begins inside the file, and both are read as one: cut the file in two"
    elif announced and decodable > _ESTIMATED_TO * announced:
        yield f"the header announces {count_of(announced, 'frame')} and {decodable:,} decode: all of them are used"
    if structure.num_other_sizes:
        frames = count_of(structure.num_other_sizes, "frame")
        yield f"{frames} of {decodable:,} {_is(structure.num_other_sizes)} of another size than the others, and scaled"
    if _cut_off(film, header):
        yield (
            f"the header announces {count_of(announced, 'frame')} and {decodable:,} decode; they are sampled from its "
            f"first {film.end / rate:.1f} s"
        )
    if film.num_failed:
        frames = count_of(announced, "frame")
        yield f"{film.num_failed:,} of {frames} {'does' if film.num_failed == 1 else 'do'} not decode"
    steps = np.diff(film.slots, prepend=-1.0) / rate
    longest = int(np.argmax(steps))
    if steps[longest] > SECONDS_BETWEEN_MEASURES + 1 / rate:
        yield (
            f"there is no frame for {steps[longest]:.1f} s before {film.slots[longest] / rate:.1f} s: the recorder "
            "stalled, or frames are damaged"
        )
    if film.patched.any():
        first, num_patched = film.slots[np.argmax(film.patched)] / rate, int(film.patched.sum())
        frames = f"{count_of(num_patched, 'frame')} of {decodable:,} {_is(num_patched)}"
        yield f"{frames} damaged and patched up by the decoder, the first at {first:.1f} s"
    if decodable < num_frames:
        yield f"the film has {count_of(decodable, 'frame')} only and {num_frames} are sampled, so they repeat"
    if film.brightness.max() < DARK:
        yield f"the film is dark throughout (the mean of its pictures is {film.brightness.max():.0f} of 255 at most)"
    elif len(film.brightness) >= _MANY_MEASURES and np.ptp(film.brightness) < _UNCHANGING:
        yield f"the film's light never changes: the mean of its pictures is {film.brightness[0]:.0f} of 255 throughout"


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _choose(
    slots: Float64[np.ndarray, " frames"], *, num_frames: int, num_clips: int, window: Window | None, rate: float
) -> Int64[np.ndarray, " chosen"]:
    """Indices of the wanted frames, ascending, among those at `slots`; none where the window does not meet the film."""
    if len(slots) == 0:
        return np.zeros(0, dtype=np.int64)
    available = math.floor(slots[-1]) + 1
    start, end = (0.0, available / rate) if window is None else window
    if not (start <= end and end >= 0 and start * rate < available):
        return np.zeros(0, dtype=np.int64)
    slack = 1e-6  # of a frame: 0.1 s at 30 frames a second is frame 3, not between 3 and 4
    first = math.ceil(max(float(slots[0]), start * rate - slack))
    last = math.floor(min(available - 1.0, end * rate + slack))
    if first > last:  # the window lies between two frames
        first = last = min(available - 1, max(0, round((start + end) / 2 * rate)))
    parts = [_part(clip, num_clips=num_clips, num_available=last + 1 - first) for clip in range(num_clips)]
    even = [np.linspace(first + begin, first + finish, num_frames) for begin, finish in parts]
    return _nearest(slots, np.rint(np.concatenate(even)))


def _nearest(
    slots: Float64[np.ndarray, " frames"], wanted: Float64[np.ndarray, " chosen"]
) -> Int64[np.ndarray, " chosen"]:
    """Index of the frame that is nearest in time to each wanted place."""
    after = np.clip(np.searchsorted(slots, wanted), 1, max(1, len(slots) - 1))
    if len(slots) == 1:
        return np.zeros(len(wanted), dtype=np.int64)
    return np.asarray(after - (wanted - slots[after - 1] <= slots[after] - wanted), dtype=np.int64)


def _part(clip: int, *, num_clips: int, num_available: int) -> tuple[int, int]:
    """First and last index of one of `num_clips` parts of `num_available` frames, each of which is in one part."""
    begin = -(-clip * num_available // num_clips)
    finish = -(-(clip + 1) * num_available // num_clips) - 1
    if begin > finish:  # fewer frames than parts: the one at the part's middle, which another part has too
        begin = finish = (2 * clip + 1) * num_available // (2 * num_clips)
    return begin, finish
