"""What MP3 and Ogg files hold, told by their frames and pages: libsndfile goes by what their first ones announce.

Of an MP3 of varying bit rate without an index it estimates the length by the first frame and reads no further; of
several Ogg streams one after the other it reads the first; and an Ogg file that is cut short ends where it was cut.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import DecodeError
from ...wording import count_of
from .media import read_content

# kbit/s of layer III by the header's upper half of the third byte, of MPEG 1 and of MPEG 2 and 2.5.
_BIT_RATES = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_SAMPLE_RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}  # by version
_SYNC = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]")  # of layer III
_INDEX = (b"Xing", b"Info", b"VBRI")  # in a first frame that holds no sound
_TRIMMED_FRAMES = 4  # at most, that encoders add at both ends and announce as no sound
_LOOKED_THROUGH = 1 << 16  # bytes before the first frame, apart from tags

_PAGE, _PAGE_HEADER = b"OggS", 27
_BEGINS, _ENDS = 2, 4


@dataclass(frozen=True)
class _Frame:
    size: int  # bytes
    samples: int


def check_mp3(path: Path, *, announced: int, notes: list[str]) -> None:
    """Compare the frames of an MP3 with the samples that were announced.

    Raises:
        DecodeError: if these are other ones.
    """
    content = read_content(path, what="audio file")
    place = _first_frame(content)
    counted, frame = 0, None
    while (found := _frame_at(content, place)) is not None:
        counted, frame, place = counted + found.samples, found, _after_tags(content, place + found.size)
    if frame is None:  # of layer I or II, or of a bit rate that is not named
        return
    if abs(counted - announced) > _TRIMMED_FRAMES * frame.samples:
        raise DecodeError(
            f"{path}: the header tells of {announced:,} samples and its frames are {counted:,}: it has a varying bit "
            f"rate and no index, is several recordings in one, or is damaged. Write it anew: {conversion(path)}"
        )
    if place > len(content):
        notes.append("it ends within a frame: it may be cut short")


def _first_frame(content: bytes) -> int:
    """Where the sound begins, behind tags and an index; the end of the content where it does not."""
    place = _after_tags(content, 0)
    for found in _SYNC.finditer(content, place, place + _LOOKED_THROUGH):
        frame = _frame_at(content, found.start())
        if frame and (after := found.start() + frame.size) and (after >= len(content) or _frame_at(content, after)):
            has_index = any(word in content[found.start() : after] for word in _INDEX)
            return after if has_index else found.start()
    return len(content)


def _after_tags(content: bytes, place: int) -> int:
    """Behind the tags (ID3) that stand there, if any do."""
    while content[place : place + 3] == b"ID3" and len(content) >= place + 10:
        size = 0
        for byte in content[place + 6 : place + 10]:
            size = size << 7 | byte & 0x7F
        place += 10 + size
    return place


def _frame_at(content: bytes, place: int) -> _Frame | None:
    """The frame of layer III whose header stands there, be it whole or not."""
    header = content[place : place + 4]
    if len(header) < 4 or not _SYNC.match(header):
        return None
    version, by_rate, by_sample_rate = header[1] >> 3 & 3, header[2] >> 4, header[2] >> 2 & 3
    if by_rate in (0, 15) or by_sample_rate == 3:
        return None
    samples = 1152 if version == 3 else 576
    rate = _SAMPLE_RATES[version][by_sample_rate]
    bit_rate = _BIT_RATES[version == 3][by_rate] * 1000
    return _Frame(samples // 8 * bit_rate // rate + (header[2] >> 1 & 1), samples)


def check_ogg(path: Path, *, notes: list[str]) -> None:
    """Go from page to page of an Ogg file.

    Raises:
        DecodeError: if there is more than one stream.
    """
    content = read_content(path, what="audio file")
    place = num_streams = flags = 0
    while content[place : place + 4] == _PAGE and len(content) >= place + _PAGE_HEADER:
        flags, num_segments = content[place + 5], content[place + 26]
        num_streams += bool(flags & _BEGINS)
        segments = place + _PAGE_HEADER
        place = segments + num_segments + sum(content[segments : segments + num_segments])
    if num_streams > 1:
        raise DecodeError(
            f"{path}: there are {count_of(num_streams, 'stream')} in it, of which the first alone would be read. Write "
            f"it anew: {conversion(path)}"
        )
    if not flags & _ENDS or place > len(content):
        notes.append("its end is missing: it is cut short, or its recorder was stopped")


def conversion(path: Path) -> str:
    """The command that writes a recording in a format that is read exactly."""
    return f"ffmpeg -i {path.name} {path.stem}{'.wav' if path.suffix.lower() == '.flac' else '.flac'}"
