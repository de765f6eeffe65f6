"""Whether a picture's file is of a sane size and whole, told before OpenCV decodes it.

OpenCV allocates what a header asks for, and fills with grey, or with what it mistakes for data, whatever is damaged in
a JPEG; libjpeg's warning of it goes to the terminal. So each file is measured first, by its header alone, and then
decoded once more by a decoder that is strict. That finds what breaks the code of a JPEG, which is nearly all damage;
a bit that turns one valid code into another cannot be told, because the format has no checksum.
"""

import io
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import simplejpeg
from PIL import Image

from ...documents import open_regular
from ...errors import DecodeError
from .media import refusals_told
from .tiff import read_layout

# Cameras write 1 scan, or about 10 where a picture is progressive. Each costs a pass over all of the picture, however
# few bytes it has.
MOST_SCANS = 100
_MOST_SEGMENTS = 10_000  # a colour profile and the maker's notes take some dozens

_JPEG_START = b"\xff\xd8"
# A mark in a picture's data: neither a stuffed 0xff nor one of those at which decoding may restart.
_MARK = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")
_START, _END, _SCAN, _TABLES = 0xD8, 0xD9, 0xDA, 0xC4
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_BY_HUFFMAN = frozenset({0xC0, 0xC1, _PROGRESSIVE})
_BY_COEFFICIENTS = _BY_HUFFMAN | {0xC9, 0xCA}  # all but the lossless ones
_COEFFICIENTS = 64

_ORIENTATION, _LYING = 0x0112, range(5, 9)  # of EXIF; what is turned by a quarter

# Where zeros are the code of some coefficient, as in nearly all JPEGs, and not that of the end of a block, so many in a
# row would be blocks of equal coefficients, which no picture has: they are a hole, out of which a decoder may find.
_HOLE = bytes(64)

# What else OpenCV decodes, named like a photograph. It refuses most damage to these itself; a BMP, a WebP and the
# pixels of an uncompressed TIFF have no checksum, so there only a missing end can be told.
_FORMATS = ("PNG", "BMP", "TIFF", "WEBP", "GIF", "JPEG2000", "AVIF")


def check_picture(path: Path, content: bytes, *, max_megapixels: float) -> int:
    """Look at the bytes of a picture before it is decoded; how many pixels it has.

    Raises:
        DecodeError: if it is larger than `max_megapixels`, damaged, cut short, or not a picture.
        MemoryError: if there is not enough for looking.
    """
    if content.startswith(_JPEG_START):
        return _check_jpeg(path, content, max_megapixels=max_megapixels)
    return _check_other(path, content, max_megapixels=max_megapixels)


def jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Width and height that the first bytes of a JPEG say; None of anything else."""
    if not head.startswith(_JPEG_START):
        return None
    frames = (segment for mark, segment, _ in _segments(head) if mark in _FRAMES and len(segment) >= 6)
    return next(((int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])) for frame in frames), None)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is seen, turned as its EXIF says; nothing but its header is decoded.

    Raises:
        DecodeError: if it is not there, or not a picture.
    """
    with refusals_told(path, what="photograph"), open_regular(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes, and of odd metadata
        try:
            with Image.open(file, formats=("JPEG", *_FORMATS)) as picture:
                width, height = picture.size
                # Of a TIFF, Pillow's size is that of the turned picture already.
                turned = picture.format != "TIFF" and picture.getexif().get(_ORIENTATION) in _LYING
                return (height, width) if turned else (width, height)
        except MemoryError:
            raise
        except Exception as error:  # a decoder's own of any kind: it was given bytes that are not what they say
            raise DecodeError(f"{path}: not a picture that can be decoded: damaged or another format.") from error


def _check_size(path: Path, width: int, height: int, *, max_megapixels: float) -> int:
    if width * height > max_megapixels * 1e6:
        raise DecodeError(
            f"{path}: the photograph has {width:,} x {height:,} pixels, more than max_megapixels = "
            f"{max_megapixels:g} allows; raise that if it is one."
        )
    return width * height


def _check_jpeg(path: Path, content: bytes, *, max_megapixels: float) -> int:
    kind, num_components, num_scans, num_pixels = None, 0, 0, 0
    final: set[tuple[int, int]] = set()  # coefficients of components that have come with their last bit
    all_zeros: dict[int, int] = {}  # what a code of zeros alone means, by Huffman table
    for count, (mark, segment, data) in enumerate(_segments(content)):
        if mark in _FRAMES and kind is None and len(segment) >= 6:
            kind, num_components = mark, segment[5]
            height, width = int.from_bytes(segment[1:3]), int.from_bytes(segment[3:5])
            num_pixels = _check_size(path, width, height, max_megapixels=max_megapixels)
        elif mark == _TABLES:
            all_zeros |= _first_symbols(segment)
        elif mark == _SCAN:
            num_scans += 1
            final |= _made_final(segment)
            if kind in _BY_HUFFMAN and _HOLE in data and not _may_be_zeros(kind, segment, all_zeros):
                raise DecodeError(f"{path}: the JPEG is damaged: there is a hole of zeros in it.")
        elif mark == _START:
            raise DecodeError(f"{path}: the JPEG is damaged: another picture begins inside it.")
        elif mark == _END:
            break
        if num_scans > MOST_SCANS or count > _MOST_SEGMENTS:
            raise DecodeError(f"{path}: the JPEG has more than {MOST_SCANS} scans or {_MOST_SEGMENTS:,} segments.")
    else:
        raise DecodeError(f"{path}: the JPEG is cut short: its end is missing.")
    if kind in _BY_COEFFICIENTS and len(final) < num_components * _COEFFICIENTS:
        raise DecodeError(f"{path}: the JPEG is cut short: only {num_scans} of its scans are there.")
    _decode_strictly(path, content)
    return num_pixels


def _segments(content: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Every mark of a JPEG, as far as they are there, with its segment and the data that follow up to the next mark."""
    found = _MARK.search(content, len(_JPEG_START))
    while found:
        mark, place = found[1][0], found.end()
        length = 0
        if mark not in (_START, _END, 0x01):
            length = int.from_bytes(content[place : place + 2])
            if length < 2 or place + length > len(content):
                return
        found = _MARK.search(content, place + length)
        yield (
            mark,
            content[place + 2 : place + length],
            content[place + length : found.start() if found else len(content)],
        )


def _made_final(scan: bytes) -> set[tuple[int, int]]:
    """Component and coefficient of each that a scan brings the last bit of; from its header."""
    count = scan[0] if scan else 0
    if len(scan) < 4 + 2 * count:
        return set()
    first, last, bits = scan[1 + 2 * count :][:3]
    if bits & 0x0F:
        return set()
    return {(scan[1 + 2 * n], k) for n in range(count) for k in range(first, min(last, _COEFFICIENTS - 1) + 1)}


def _first_symbols(tables: bytes) -> dict[int, int]:
    """First symbol of each Huffman table, whose code is zeros, by the table's class and number."""
    found, place = {}, 0
    while place + 17 < len(tables):
        found[tables[place]] = tables[place + 17]
        place += 17 + sum(tables[place + 1 : place + 17])
    return found


def _may_be_zeros(kind: int | None, scan: bytes, all_zeros: Mapping[int, int]) -> bool:
    """Whether blocks of a scan's first component can be zeros for long, by the table of its coefficients."""
    if not scan or len(scan) < 4 + 2 * scan[0]:
        return True
    if kind == _PROGRESSIVE and scan[1 + 2 * scan[0]] == 0:  # no coefficients but the mean of each block
        return True
    symbol = all_zeros.get(0x10 | scan[2] & 0x0F, 0)
    return symbol & 0x0F == 0  # one that brings no coefficient


def _decode_strictly(path: Path, content: bytes) -> None:
    try:
        # Grey and small: every code is read all the same, and that is where damage shows.
        simplejpeg.decode_jpeg(content, colorspace="GRAY", min_height=1, min_width=1, fastdct=True, fastupsample=True)
    except ValueError as error:
        if "memory" in str(error).lower():
            raise MemoryError(f"libjpeg: {error}") from error
        if "subsampling" in str(error):
            raise DecodeError(
                f"{path}: the JPEG stores its colours in a way that cannot be checked for damage; save it anew."
            ) from error
        raise DecodeError(f"{path}: the JPEG is damaged ({error}).") from error


def _check_other(path: Path, content: bytes, *, max_megapixels: float) -> int:
    layout = read_layout(content)
    if layout is not None:
        layout.require_readable(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are looked at below, and of odd metadata
            with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
                num_pixels = _check_size(path, *picture.size, max_megapixels=max_megapixels)
                if picture.format == "TIFF":  # OpenCV passes over what its decoder says of damaged strips
                    picture.load()
                return num_pixels
    except (DecodeError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise DecodeError(f"{path}: the photograph is far beyond max_megapixels ({error}).") from error
    except Exception as error:  # a decoder's own of any kind: it was given bytes that are not what they say
        raise DecodeError(f"{path}: not a picture that can be decoded: damaged or another format.") from error
