"""What AnoVox says of a frame: semantic ids of pixels, points and voxels, and the sheets of its anomalies.

Ids 29 to 34 and 100 are of things that do not belong; 14 to 18 are ordinary traffic. What a frame *shows* decides: that
an anomaly is alive somewhere in the scenario does not make it visible, and one kind of anomaly does not even say so.
"""

import ast
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float64, Int64, Shaped
from numpy.typing import NDArray

from ....errors import DecodeError, SourceError, reason_of
from ...decode.cloud_files import Mesh, read_cloud_file

VOXEL_METRES = 0.5
GRID = (1000, 1000, 64)
_LARGEST_ID = (1 << 16) - 1  # that voxels have room for
_GRID_ORIGIN = np.array([250.0, 250.0, 16.0]) - np.array([0.0, 0.0, 1.8])  # of the grid, less where the lidar hangs

_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_PARSING = Lock()  # threads that parse at once trip each other up in CPython 3.11 ("AST constructor recursion depth")
_LARGEST_SHEET = 1 << 20  # bytes; the real ones have a few hundred


def semantic_pixels(path: Path) -> NDArray[np.uint8]:
    """The semantic id of each pixel, (height, width).

    Raises:
        SourceError: if it is no picture of one channel.
    """
    try:
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error
    picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    if picture is None or picture.ndim != 2 or picture.dtype != np.uint8:
        raise SourceError(f"{path} is no picture of semantic ids, which has one channel of 8 bits; copy it again.")
    return np.asarray(picture)


def semantic_points(path: Path) -> Float64[np.ndarray, "rows 4"]:
    """The places of points, or the numbers of voxels, and the semantic id of each.

    Raises:
        DecodeError: if the file is cut short, or holds no three numbers and an id a row.
    """
    found = read_cloud_file(path)
    if isinstance(found, Mesh) or found.values.shape[1] < 4:
        raise DecodeError(f"{path}: has no semantic id beside three numbers in each row.")
    columns = found.columns or ("x", "y", "z", "label")
    # The former release's .pcd names its columns.
    label = columns.index("label") if "label" in columns else len(columns) - 1
    rows = found.values[:, [0, 1, 2, label]]
    # NaN or half an id equals no anomalous one: the frame would be called normal without a word.
    if not ((rows[:, 3] >= 0) & (rows[:, 3] <= _LARGEST_ID) & (rows[:, 3] == np.floor(rows[:, 3]))).all():
        raise DecodeError(f"{path}: a semantic id is no whole number from 0 to {_LARGEST_ID:,}.")
    return rows


def anomalous_among(ids: Shaped[np.ndarray, "..."], known: Collection[int]) -> Mapping[int, int]:
    """How many of the semantic ids are of each of the `known` anomalous ones, those that occur alone."""
    found, counts = np.unique(ids[np.isin(ids, list(known))], return_counts=True)
    return dict(zip(found.astype(int).tolist(), counts.tolist(), strict=True))


def voxels_of_points(points: Float[np.ndarray, "points 3"]) -> Int64[np.ndarray, "points 3"]:
    """The voxel of each point, which is in the lidar's frame in metres, y to the left; it may lie outside the grid."""
    return np.asarray(np.floor((points + _GRID_ORIGIN) / VOXEL_METRES), dtype=np.int64)


def labels_by_voxel(
    points: Float[np.ndarray, "points 3"], voxels: Shaped[np.ndarray, "voxels 4"]
) -> Int64[np.ndarray, " points"]:
    """The semantic id of each point by that of the voxel in which it lies; -1 where the grid has none there."""
    places, ids = voxels[:, :3].astype(np.int64), voxels[:, 3].astype(np.int64)
    asked = voxels_of_points(points)
    inside = ((asked >= 0) & (asked < GRID)).all(axis=1)
    numbers, order = np.unique(np.ravel_multi_index(tuple(places.T), GRID), return_index=True)
    labels = np.full(len(points), -1, dtype=np.int64)
    if not len(numbers) or not inside.any():
        return labels
    wanted = np.ravel_multi_index(tuple(asked[inside].T), GRID)
    at = np.searchsorted(numbers, wanted).clip(max=len(numbers) - 1)
    labels[inside] = np.where(numbers[at] == wanted, ids[order[at]], -1)
    return labels


def voxel_labels(points: Float64[np.ndarray, "points 3"], path: Path) -> Int64[np.ndarray, " points"]:
    """The semantic ids of points by a file of voxels; raises as `semantic_points`, and where a voxel is none of the
    grid."""
    voxels = semantic_points(path)
    if not ((voxels[:, :3] >= 0) & (voxels[:, :3] < GRID)).all():
        raise DecodeError(f"{path}: has a voxel outside the grid of {' x '.join(map(str, GRID))}.")
    return labels_by_voxel(points, voxels)


def read_sheet(path: Path) -> Mapping[str, Sequence[Any]]:
    """The values of each key of a sheet, whose lines are `key ; value` with a value as Python writes it; a text as it
    stands where it is none.

    Raises:
        SourceError: if a line is no such pair.
    """
    try:
        if path.stat().st_size > _LARGEST_SHEET:
            raise SourceError(f"{path} is far too large for a sheet of keys and values.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from None
    values: dict[str, list[Any]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), start=1):
        key, separator, value = (part.strip() for part in line.partition(";"))
        if separator:
            values[key].append(_value_of(value))
        elif line.strip():
            raise SourceError(f"{path}, line {number}: no `key ; value`.")
    return values


def _value_of(text: str) -> Any:
    try:
        with _PARSING:
            return ast.literal_eval(text) if len(text) < 1000 else text
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def is_alive(sheet: Mapping[str, Sequence[Any]]) -> bool | None:
    """Whether a sheet says that an anomaly is alive; None where it does not say."""
    # Written as a truth value by one release, and as a text by another.
    told = [_TRUTHS.get(str(value).lower()) for value in sheet.get("anomaly_is_alive", ())]
    return None if all(truth is None for truth in told) else any(told)
