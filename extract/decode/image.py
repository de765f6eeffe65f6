"""Photographs: one picture a view, at the place that its name gives it."""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ...configs.section import Rectangle
from ...errors import DecodeError
from ...wording import count_of, listed
from ..features.settings import PhotographsSettings
from .decoded import Photographs
from .media import check_memory, complaints_unheard, memory_told, read_content
from .picture_file import check_picture, jpeg_size
from .tiff import DeepPicture, Picture, as_meant, decode_by_pillow, read_layout

# "3", "..._3", "..._view3", "...-3": not "...-03", which is how a run's name ends in its class code.
_VIEW_NUMBER = re.compile(r"(?:^|(?<=[_\s])|(?<=view)|(?<=cam))\d{1,2}$|(?<=-)\d$", re.IGNORECASE)
_MAX_MEGAPIXELS = PhotographsSettings().max_megapixels

# A lens cap has noise, a blank sheet has grain, and a date may be printed on either: what 98 of 100 pixels show counts.
_DARK = 16  # of 255; the brightest of those
_ONE_COLOUR = 8  # of 255; between the darkest and the brightest of those, in any channel
_PIXELS_LOOKED_AT = 50_000

# libjpeg leaves out what it would not show. Its JPEGs have 8 bits a value, so that no depth is lost by it.
_REDUCED = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}

# ImageNet's mean colour in RGB, the mean that vision backbones subtract: about zero once normalised.
MASK_COLOUR = (124, 116, 104)


def decode_photographs(
    paths: Sequence[Path],
    *,
    num_views: int,
    crop: Rectangle | None = None,
    masks: Sequence[Rectangle] = (),
    max_megapixels: float = _MAX_MEGAPIXELS,
    smallest_side: int | None = None,
) -> Photographs:
    """Decode a sample's pictures to RGB, upright as their EXIF says, of whatever size they are.

    Each rectangle of `masks` is painted over with ImageNet's mean colour, then all but `crop` is cut away. Both are
    fractions (left, top, right, bottom) of the upright uncropped picture.

    Each picture goes to the view that `view_of_each` gives it. A view without a readable picture is None, and
    `notes` says why; so it does for pictures beyond `num_views`, which are not used, and for pictures that show
    nothing, which are.

    With `smallest_side`, to show pictures and not to make features of them, a JPEG may come as a half, a quarter or an
    eighth of its width and height, as long as its longer side keeps so many pixels: that takes less time and memory.

    Raises:
        DecodeError: if not one view can be read.
    """
    views: list[Picture | None] = [None] * num_views
    notes, extents = [], dict[Path, dict[str, float]]()
    placed = view_of_each(paths, num_views=num_views)
    for path, view in placed.items():
        if view >= num_views:
            notes.append(f"{path}: it is not used, as photograph {view + 1}, and num_views is {num_views}")
            continue
        try:
            deep = _read(path, max_megapixels=max_megapixels, smallest_side=smallest_side)
        except DecodeError as error:
            notes.append(str(error))
            continue
        whole = _in_8_bits(deep)
        extents[path] = {"width": float(whole.shape[1]), "height": float(whole.shape[0])}
        notes.extend(f"{path}: {what}" for what in (*_depth_told(deep), *_shows_nothing(whole)))
        picture = paint_over(whole, masks=masks)
        views[view] = picture if crop is None else crop_to(picture, crop=crop)
    if lacking := [str(view + 1) for view in range(num_views) if view not in placed.values()]:
        notes.append(f"there is no photograph of view{'s' * (len(lacking) > 1)} {listed(lacking)}")
    if all(view is None for view in views):
        raise DecodeError(f"None of {count_of(len(paths), 'photograph')} can be read: {'; '.join(notes)}")
    return Photographs(views=tuple(views), notes=tuple(notes), extents=extents)


def view_of_each(paths: Sequence[Path], *, num_views: int) -> dict[Path, int]:
    """View of each picture, from 0, in the order of names.

    The numbers at the ends of the names decide where every name has one ("..._3.jpg", "..._view3.jpg"), no two are
    equal, and they are counted from 1 or 0 or all lie within `num_views`: then a missing third picture leaves the
    third view empty. They count from 1 unless there is a 0. Otherwise the order of names decides.
    """
    ordered = sorted(paths, key=lambda path: path.name)
    numbers = [int(found[0]) for path in ordered if (found := _VIEW_NUMBER.search(path.stem))]
    numbered = len(numbers) == len(ordered) == len(set(numbers)) > 0
    if not numbered or (min(numbers) > 1 and max(numbers) > num_views):
        return {path: view for view, path in enumerate(ordered)}
    first = 0 if 0 in numbers else 1
    return {path: number - first for path, number in zip(ordered, numbers, strict=True)}


def _read(path: Path, *, max_megapixels: float, smallest_side: int | None) -> DeepPicture:
    """One picture as RGB, as deep as it is, and as large but where a `smallest_side` allows less.

    Raises:
        DecodeError: if the file is missing, not a regular file, empty, cut short, damaged, not a picture or larger
            than `max_megapixels`.
        MemoryError: if there is not enough to decode it, which says nothing about the file.
    """
    content = read_content(path, what="photograph")
    with complaints_unheard():
        return _decoded(path, content, max_megapixels=max_megapixels, smallest_side=smallest_side)


def _decoded(path: Path, content: bytes, *, max_megapixels: float, smallest_side: int | None) -> DeepPicture:
    num_pixels = check_picture(path, content, max_megapixels=max_megapixels)
    layout = read_layout(content)
    if layout is not None and layout.is_by_pillow:
        return decode_by_pillow(path, content)
    try:
        with memory_told():
            # As deep as it is: of 16 bits, OpenCV cuts the lower 8 off in a PNG and rounds in a TIFF.
            how = _jpeg_reduction(content, smallest_side=smallest_side) or cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
            pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), how)
            if pixels is not None and pixels.dtype in (np.uint8, np.uint16):
                return as_meant(np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)), layout)
    except cv2.error as error:
        raise DecodeError(f"{path}: the photograph cannot be decoded ({error.err}).") from error
    check_memory(num_pixels)
    raise DecodeError(
        f"{path}: not a picture that can be decoded: damaged, of another format, or not of 8 or 16 bits a value."
    )


def _jpeg_reduction(content: bytes, *, smallest_side: int | None) -> int | None:
    """How OpenCV is asked for less of a JPEG; None for all of it, and for anything else."""
    size = jpeg_size(content)
    if size is None or smallest_side is None:
        return None
    return next((flag for factor, flag in _REDUCED.items() if max(size) >= factor * smallest_side), None)


def _in_8_bits(picture: DeepPicture) -> Picture:
    if picture.dtype == np.uint8:
        return picture
    return np.asarray((picture.astype(np.uint32) + 128) // 257, dtype=np.uint8)


def _depth_told(picture: DeepPicture) -> Iterator[str]:
    """In words, what became of 16 bits; cameras of 10 to 14 may leave the upper ones empty, and all is dark then."""
    if picture.dtype == np.uint16:
        yield "the photograph has 16 bits a value, brought to 8 with 65,535 as white"
        if 0 < (brightest := int(picture.max())) < 1 << 14:
            yield f"no value of its 16 bits is above {brightest:,}: it is darker than it was taken"


def _shows_nothing(picture: Picture) -> Iterator[str]:
    """In words, that a picture is dark or of one colour throughout."""
    step = max(1, math.isqrt(picture.shape[0] * picture.shape[1] // _PIXELS_LOOKED_AT))
    darkest, brightest = np.percentile(picture[::step, ::step], (1, 99), axis=(0, 1))
    if brightest.max() < _DARK:
        yield f"the photograph is dark throughout (at most {brightest.max():.0f} of 255)"
    elif (brightest - darkest).max() < _ONE_COLOUR:
        colour = ", ".join(f"{level:.0f}" for level in (darkest + brightest) / 2)
        yield f"the photograph shows nothing but one colour (red, green, blue: {colour} of 255)"


def paint_over(
    picture: UInt8[np.ndarray, "height width 3"], *, masks: Sequence[Rectangle]
) -> UInt8[np.ndarray, "height width 3"]:
    """A copy in which every pixel that a mask touches, however slightly, has `MASK_COLOUR`."""
    painted = picture.copy()
    height, width = picture.shape[:2]
    for left, top, right, bottom in masks:
        columns = slice(math.floor(left * width), math.ceil(right * width))
        rows = slice(math.floor(top * height), math.ceil(bottom * height))
        painted[rows, columns] = MASK_COLOUR
    return painted


def crop_to(picture: UInt8[np.ndarray, "height width 3"], *, crop: Rectangle) -> UInt8[np.ndarray, "_height _width 3"]:
    """The pixels of `crop_slices`."""
    return picture[crop_slices(*picture.shape[:2], crop=crop)].copy()


def crop_slices(height: int, width: int, *, crop: Rectangle) -> tuple[slice, slice]:
    """Rows and columns of the pixels that lie within `crop` as a whole, so that nothing from outside it shows.

    Where no row or column does, the one at the middle of the crop is taken: no crop is empty.
    """
    left, top, right, bottom = crop
    return _within(top, bottom, size=height), _within(left, right, size=width)


def _within(start: float, end: float, *, size: int) -> slice:
    slack = 1e-6  # of a pixel: 0.1 of 30 pixels are 3, whatever floating point makes of it
    first = math.ceil(start * size - slack)
    last = math.floor(end * size + slack)
    if first >= last:
        first = min(int((start + end) / 2 * size), size - 1)
        last = first + 1
    return slice(first, last)
