"""What a FLAC file says of itself twice, which must agree.

libsndfile believes the stream's header: a rate that was damaged there would be resampled, and samples beyond a damaged
count never read. Each frame of sound says its rate again, and the header holds a checksum of all samples.
"""

import hashlib
from pathlib import Path

import numpy as np
from jaxtyping import Int32

# The numbers of STREAMINFO: where it begins and what it holds.
_MAGIC, _HEADER = b"fLaC", slice(8, 42)
_CHECKSUM = slice(18, 34)
_LAST_BLOCK = 0x80

# By the low half of a frame's third byte; 12 to 14: at the end of the frame's header, in units of so many hertz.
_RATES = (None, 88_200, 176_400, 192_000, 8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000)
_UNITS = {12: (1, 1000), 13: (2, 1), 14: (2, 10)}
_BLOCK_SIZE_BYTES = {6: 1, 7: 2}  # by the high half: how many say the block's size at the end of the frame's header
_BYTES_OF_SAMPLE = {"PCM_S8": 1, "PCM_16": 2, "PCM_24": 3}


def rate_of_first_frame(path: Path) -> int | None:
    """Samples a second as the first frame of sound has it; None where it refers to the header or cannot be found."""
    with path.open("rb") as file:
        if file.read(4) != _MAGIC:
            return None
        block = file.read(4)
        while len(block) == 4 and not block[0] & _LAST_BLOCK:
            file.seek(int.from_bytes(block[1:]), 1)
            block = file.read(4)
        if len(block) < 4:
            return None
        file.seek(int.from_bytes(block[1:]), 1)
        frame = file.read(16)
    if len(frame) < 16 or frame[0] != 0xFF or frame[1] & 0xFC != 0xF8:
        return None
    code = frame[2] & 0x0F
    if code in _UNITS:
        # Behind four bytes and the frame's number, which is 0 and one byte long.
        start, (width, unit) = 5 + _BLOCK_SIZE_BYTES.get(frame[2] >> 4, 0), _UNITS[code]
        return int.from_bytes(frame[start : start + width]) * unit
    return _RATES[code] if code < len(_RATES) else None


def holds_checksum(path: Path, samples: Int32[np.ndarray, "samples channels"], *, subtype: str) -> bool:
    """Whether `samples`, in the upper bits of 32, are what the header's MD5 is of; so they are where it has none."""
    with path.open("rb") as file:
        expected = file.read(_HEADER.stop)[_HEADER][_CHECKSUM]
    if not any(expected):
        return True
    little = samples.astype("<i4", order="C").view(np.uint8).reshape(*samples.shape, 4)
    return hashlib.md5(little[..., -_BYTES_OF_SAMPLE[subtype] :].tobytes(), usedforsecurity=False).digest() == expected
