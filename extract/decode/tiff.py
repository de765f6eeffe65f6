"""What a TIFF holds, told by its tags: OpenCV decodes some layouts to other pixels than are in them, without a word.

It multiplies colours of 8 bits by their opacity, mixes up planes of 16 bits, and takes 16 bits of which 0 is white for
the opposite; tiles of 16 pixels and more than four values a pixel it refuses. Pillow decodes all but those of 16 bits.
"""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, ImageOps
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from ...errors import DecodeError

_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_HEADER, _BIG_HEADER = 8, 16  # bytes
_BITS, _PHOTOMETRIC, _SAMPLES, _PLANES, _TILE_WIDTH, _EXTRA, _FORMAT = 258, 262, 277, 284, 322, 338, 339
_WHITE_IS_ZERO, _SEPARATE, _OPACITY = 0, 2, 2
_OF_RGB_16 = (0, 1, 2)  # meanings of values that are read of 16 bits: white is 0, black is 0, red green blue
_READ_BITS = (1, 2, 4, 8, 12, 16)
_KINDS = {2: "signed ", 3: "floating-point "}
_LEAST_TILE = 32  # pixels
_MOST_SAMPLES = 4

Picture = UInt8[np.ndarray, "height width 3"]
DeepPicture = Picture | UInt16[np.ndarray, "height width 3"]


@dataclass(frozen=True)
class TiffLayout:
    """How the first picture of a file is laid out."""

    bits: int  # a value
    kind: int  # 1: unsigned
    photometric: int  # what the values mean
    num_samples: int  # values a pixel
    separate: bool  # whether each value has a plane of its own
    has_opacity: bool  # that colours are not yet multiplied by
    tile_width: int | None

    @property
    def is_by_pillow(self) -> bool:
        """Whether Pillow decodes it rightly and OpenCV does not."""
        small_tiles = self.tile_width is not None and self.tile_width < _LEAST_TILE
        return self.bits == 8 and (self.has_opacity or small_tiles or self.num_samples > _MOST_SAMPLES)

    def require_readable(self, path: Path) -> None:
        """Refuse what neither decodes, by name; raises DecodeError."""
        if self.kind in _KINDS or self.bits not in _READ_BITS:
            raise DecodeError(
                f"{path}: a TIFF of {_KINDS.get(self.kind, '')}values of {self.bits} bits, whose black and white "
                "nobody tells; bring them to 0 to 65,535 and save it with 16 bits a value."
            )
        if self.bits == 16 and (
            self.photometric not in _OF_RGB_16
            or self.num_samples > _MOST_SAMPLES
            or (self.separate and self.num_samples > 1)
        ):
            raise DecodeError(
                f"{path}: a TIFF of 16 bits a value that is not red, green and blue or grey pixel by pixel "
                f"({self.num_samples} values{' in separate planes' if self.separate else ''}, photometric "
                f"{self.photometric}); save it as PNG."
            )


def read_layout(content: bytes) -> TiffLayout | None:
    """None of what is no TIFF, or whose tags cannot be read, which whoever decodes it will tell."""
    if not content.startswith(_STARTS):
        return None
    try:
        tags = ImageFileDirectory_v2(content[: _BIG_HEADER if b"+" in content[:4] else _HEADER])
        file = io.BytesIO(content)
        file.seek(tags.next)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tags that are damaged
            tags.load(file)
        bits, kinds = tags.get(_BITS, (1,)), tags.get(_FORMAT, (1,))
        width = tags.get(_TILE_WIDTH)
        return TiffLayout(
            bits=max(bits),
            kind=max(kinds),
            photometric=int(tags.get(_PHOTOMETRIC, 1)),
            num_samples=int(tags.get(_SAMPLES, 1)),
            separate=tags.get(_PLANES) == _SEPARATE,
            has_opacity=_OPACITY in tags.get(_EXTRA, ()),
            tile_width=None if width is None else int(width),
        )
    except Exception:  # of any kind: these are bytes that are not what they say
        return None


def decode_by_pillow(path: Path, content: bytes) -> Picture:
    """The first picture in RGB, upright, without its opacity.

    Raises:
        DecodeError: if it cannot be decoded.
        MemoryError: if there is not enough to decode it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=("TIFF",)) as picture:
                return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    except MemoryError:
        raise
    except Exception as error:
        raise DecodeError(f"{path}: the TIFF is damaged ({error}).") from error


def as_meant(picture: DeepPicture, layout: TiffLayout | None) -> DeepPicture:
    """What OpenCV decodes, with white as white."""
    turned = layout is not None and layout.photometric == _WHITE_IS_ZERO and picture.dtype == np.uint16
    return 65_535 - picture if turned else picture
