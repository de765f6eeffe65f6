"""Photographs: one picture a view, at the place that its name gives it."""

import re
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from ...configs.schema import Rectangle
from ...errors import DecodeError
from .decoded import Photographs
from .rectangle import crop_to, paint_over

Picture = UInt8[np.ndarray, "height width 3"]

# "3", "..._3", "..._view3", "...-3": not "...-03", which is how a run's name ends in its class code.
_VIEW_NUMBER = re.compile(r"(?:^|(?<=[_\s])|(?<=view)|(?<=cam))\d{1,2}$|(?<=-)\d$", re.IGNORECASE)
_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", b"\xff\xda", b"\xff\xd9"


def decode_photographs(
    paths: Sequence[Path], *, num_views: int, crop: Rectangle | None = None, masks: Sequence[Rectangle] = ()
) -> Photographs:
    """Decode a weld's pictures to RGB, upright as their EXIF says, of whatever size they are.

    Each rectangle of `masks` is painted over with ImageNet's mean colour, then all but `crop` is cut away. Both are
    fractions (left, top, right, bottom) of the upright uncropped picture.

    Each picture goes to the view that `view_of_each` gives it. A view without a readable picture is None, and
    `problems` says why; so it does for pictures beyond `num_views`, which are not used.

    Raises:
        DecodeError: if not one view can be read.
    """
    views: list[Picture | None] = [None] * num_views
    problems = []
    placed = view_of_each(paths, num_views=num_views)
    for path, view in placed.items():
        if view >= num_views:
            problems.append(f"{path} is not used: it is photograph {view + 1} and image.num_views is {num_views}")
            continue
        try:
            picture = paint_over(read_picture(path), masks=masks)
            views[view] = picture if crop is None else crop_to(picture, crop=crop)
        except DecodeError as error:
            problems.append(str(error))
    problems.extend(
        f"there is no photograph of view {view + 1}" for view in range(num_views) if view not in placed.values()
    )
    if all(view is None for view in views):
        raise DecodeError(f"None of {len(paths)} photographs can be read: {'; '.join(problems)}")
    return Photographs(views=tuple(views), problems=tuple(problems))


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


def read_picture(path: Path) -> Picture:
    """One picture as RGB.

    Raises:
        DecodeError: if the file is missing, empty, cut short or not a picture.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DecodeError(f"{path}: the photograph cannot be read ({error.strerror}).") from error
    if not content:
        raise DecodeError(f"{path}: the photograph is empty.")
    if _is_cut_short(content):
        raise DecodeError(f"{path}: the JPEG is cut short: its end is missing.")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, dtype=np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise DecodeError(f"{path}: the photograph cannot be decoded ({error.err}).") from error
    if pixels is None:
        raise DecodeError(f"{path}: not a picture that OpenCV can decode: damaged or another format.")
    return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _is_cut_short(content: bytes) -> bool:
    """Whether a JPEG lacks its end; OpenCV would fill the rest with grey and say nothing.

    A picture's data holds no start-of-scan mark, so an end mark behind the last one is the picture's own and not that
    of a thumbnail in its header.
    """
    return content.startswith(_JPEG_START) and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN)
