"""What the structure of an AVI tells and FFmpeg passes over: a second film behind the first, frames of other sizes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ...documents import open_regular
from .media_file import refusals_told
from .picture_file import jpeg_size

_HEAD = 4096  # bytes of a frame: a JPEG's size comes behind its tables, which take some hundreds


@dataclass(frozen=True)
class AviStructure:
    """Of a file that is no AVI: no second film and no other sizes."""

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
