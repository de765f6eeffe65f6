"""The text tables of CUB-200-2011, each read whole and held against the others before anything of it is believed.

images.txt                  id, picture below images/, in a folder named as its class
classes.txt                 id, class
image_class_labels.txt      id of a picture, id of its class
train_test_split.txt        id of a picture, 1 for train and 0 for test
bounding_boxes.txt          id of a picture, left, top, width and height in pixels
attributes.txt              id, attribute; here, in attributes/, or beside this folder, as the archive has it
attributes/image_attribute_labels.txt                   picture, attribute, 1 or 0, certainty from 1 to 4, seconds
attributes/class_attribute_labels_continuous.txt        a line a class: per cent of its pictures with each attribute

All ids count from 1. Sources: the README of the data set (Wah, Branson, Welinder, Perona and Belongie, The Caltech-UCSD
Birds-200-2011 Dataset, 2011).
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool, Float, Int8, Int64

from ....documents import decoded, read_regular_file
from ....errors import NotFoundError, SourceError, reason_of
from ....wording import brief, count_of, shortened

IMAGES, CLASSES, LABELS, SPLIT, BOXES, ATTRIBUTES = (
    *("images.txt", "classes.txt", "image_class_labels.txt", "train_test_split.txt", "bounding_boxes.txt"),
    "attributes.txt",
)
IMAGE_ATTRIBUTES = "attributes/image_attribute_labels.txt"
CLASS_ATTRIBUTES = "attributes/class_attribute_labels_continuous.txt"
PICTURES = "images"

NOT_VISIBLE, DEFINITELY = 1, 4
"""The least and the most certain that somebody was of an attribute; the least says that it could not be seen."""

PUBLISHED: Mapping[str, int] = {"pictures": 11_788, "classes": 200, "attributes": 312}

_FIELDS = 5  # of a line of image attributes
_WIDEST = 24  # fields of one that is read at all
_MOST_BYTES = 1 << 30
_SHOWN = 3  # names in a message
_ID = re.compile("[0-9]{1,9}")  # int() refuses numbers of thousands of digits with an error of its own
_FETCH = "Unpack the whole archive CUB_200_2011.tgz once more."


@dataclass(frozen=True, eq=False)
class CubTables:
    """What the tables say, by picture in the order of ids.

    Attributes:
        pictures: below `images/`.
        classes: of each picture its class, by its place in `class_names`.
        is_train: which pictures the data set has in train; the others are in test.
        boxes: left, top, width and height of the bird in pixels, (picture, 4).
        present: 1 where somebody says that the picture shows the attribute, 0 where not, (picture, attribute).
        certainty: how certain, from NOT_VISIBLE to DEFINITELY, (picture, attribute).
        class_attributes: share of each class's pictures that have each attribute, (class, attribute).
        num_irregular: lines of image attributes with more fields than they should have, of which the first were taken.
    """

    pictures: Sequence[str]
    class_names: Sequence[str]
    attribute_names: Sequence[str]
    classes: Int64[np.ndarray, " picture"]
    is_train: Bool[np.ndarray, " picture"]
    boxes: Float[np.ndarray, "picture 4"]
    present: Int8[np.ndarray, "picture attribute"]
    certainty: Int8[np.ndarray, "picture attribute"]
    class_attributes: Float[np.ndarray, "cls attribute"]
    num_irregular: int


def read_tables(folder: Path, *, expected: Mapping[str, int]) -> CubTables:
    """The tables in `folder`, which must hold as many pictures, classes and attributes as `expected` says.

    Raises:
        NotFoundError: if a table is not there.
        SourceError: if one is cut short, or does not belong to the others; the message names file and line or id.
    """
    pictures, class_names = _names(folder / IMAGES), _names(folder / CLASSES)
    attributes_path = _attributes_path(folder)
    attribute_names = _names(attributes_path)
    found = {"pictures": len(pictures), "classes": len(class_names), "attributes": len(attribute_names)}
    paths = (folder / IMAGES, folder / CLASSES, attributes_path)
    for (what, number), path in zip(found.items(), paths, strict=True):
        if number != expected.get(what, number):
            raise SourceError(
                f"{path} lists {number:,} {what}, and there should be {expected[what]:,}: it is cut short, or "
                f"of another release. {_FETCH} Where a part of the data set is meant, say --set data.counts=any."
            )
    classes = _whole_numbers(folder / LABELS, len(pictures), lowest=1, highest=len(class_names)) - 1
    _require_folders_of_classes(folder, pictures, [class_names[each] for each in classes.tolist()])
    present, certainty, num_irregular = _image_attributes(
        folder / IMAGE_ATTRIBUTES, num_pictures=len(pictures), num_attributes=len(attribute_names)
    )
    return CubTables(
        pictures=pictures,
        class_names=class_names,
        attribute_names=attribute_names,
        classes=classes,
        is_train=_whole_numbers(folder / SPLIT, len(pictures), lowest=0, highest=1) == 1,
        boxes=_boxes(folder / BOXES, len(pictures)),
        present=present,
        certainty=certainty,
        class_attributes=_class_attributes(folder / CLASS_ATTRIBUTES, len(class_names), len(attribute_names)),
        num_irregular=num_irregular,
    )


def _lines(path: Path) -> list[str]:
    """The lines of a table without what ends them, which may be CRLF."""
    text = _text(path)
    lines = text.splitlines()
    if not lines:
        raise SourceError(f"{path} is empty. {_FETCH}")
    return lines


def _text(path: Path) -> str:
    try:
        return decoded(read_regular_file(path, most_bytes=_MOST_BYTES), encoding="utf-8-sig").rstrip()
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}, which CUB-200-2011 has. {_FETCH}") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error


def _by_id(path: Path, *, num: int | None = None) -> list[str]:
    """What stands behind each id, in the order of ids, which have to be 1, 2, 3 and so on."""
    lines = _lines(path)
    found: dict[int, str] = {}
    for number, line in enumerate(lines, start=1):
        told, _, rest = line.strip().partition(" ")
        if not (_ID.fullmatch(told) and rest.strip()):
            why = "the table is cut short" if number == len(lines) > 1 else "CUB-200 of 2010 has no ids"
            raise SourceError(
                f"{path}, line {number}: {brief(line)} is not an id and what it stands for; {why}. {_FETCH}"
            )
        if int(told) in found:
            raise SourceError(f"{path}, line {number}: the id {told} stands there twice.")
        found[int(told)] = rest.strip()
    wanted = range(1, (num or len(found)) + 1)
    if missing := [each for each in wanted if each not in found]:
        more = f"; {len(missing):,} are missing" if len(missing) > 1 else ""
        raise SourceError(f"{path} has no id {missing[0]}{more}: it is cut short, or not of these pictures. {_FETCH}")
    if num is not None and len(found) > num:
        raise SourceError(f"{path} has {len(found):,} ids, and there are {num:,} pictures: it is of another release.")
    return [found[each] for each in wanted]


def _names(path: Path) -> list[str]:
    names = _by_id(path)
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise SourceError(f"{path}: {brief(twice)} stands there twice.")
    return names


def _numbers(path: Path, num: int, *, width: int) -> Float[np.ndarray, "picture width"]:
    rows = _by_id(path, num=num)
    try:
        values = np.array([[float(word) for word in row.split()] for row in rows])
        if values.shape == (num, width) and np.isfinite(values).all():
            return values
    except ValueError:
        pass
    wrong = next((place for place, row in enumerate(rows, start=1) if not _are_numbers(row, width=width)), 1)
    raise SourceError(f"{path}: behind the id {wrong} stands {brief(rows[wrong - 1])}, and {width} numbers should.")


def _are_numbers(row: str, *, width: int) -> bool:
    try:
        return len(row.split()) == width and bool(np.isfinite([float(word) for word in row.split()]).all())
    except ValueError:
        return False


def _boxes(path: Path, num: int) -> Float[np.ndarray, "picture 4"]:
    boxes = _numbers(path, num, width=4)
    if len(wrong := np.flatnonzero((boxes[:, 2:] <= 0).any(axis=1))):
        raise SourceError(f"{path}: the box of the picture {wrong[0] + 1} has no width or no height. {_FETCH}")
    return boxes


def _whole_numbers(path: Path, num: int, *, lowest: int, highest: int) -> Int64[np.ndarray, " picture"]:
    values = _numbers(path, num, width=1)[:, 0]
    wrong = np.flatnonzero((values != np.round(values)) | (values < lowest) | (values > highest))
    if len(wrong):
        raise SourceError(
            f"{path}: behind the id {wrong[0] + 1} stands {values[wrong[0]]:g}, and a whole number from {lowest} to "
            f"{highest} should."
        )
    return values.astype(np.int64)


def _attributes_path(folder: Path) -> Path:
    """Where the names of the attributes lie. The archive has them beside the folder of everything else.

    Raises:
        NotFoundError: if they lie nowhere.
        SourceError: if they lie in two places and differ.
    """
    places = [folder / "attributes" / ATTRIBUTES, folder / ATTRIBUTES, folder.parent / ATTRIBUTES]
    there = [place for place in places if place.is_file()]
    if not there:
        raise NotFoundError(
            f"There is no {ATTRIBUTES} in {folder / 'attributes'}, {folder} or {folder.parent}. {_FETCH}"
        )
    for other in there[1:]:
        if _names(other) != _names(there[0]):
            raise SourceError(f"{there[0]} and {other} name other attributes: two releases are mixed. {_FETCH}")
    return there[0]


def _require_folders_of_classes(folder: Path, pictures: Sequence[str], classes: Sequence[str]) -> None:
    """Every picture lies in the folder of its class, and is there."""
    for number, (picture, name) in enumerate(zip(pictures, classes, strict=True), start=1):
        parts = PurePosixPath(picture).parts
        if len(parts) != 2 or ".." in parts or "\\" in picture or "\0" in picture:
            raise SourceError(f"{folder / IMAGES}: the id {number} is {brief(picture)}, no folder and picture in it.")
        if parts[0] != name:
            raise SourceError(
                f"The picture {number} lies in {parts[0]} by {IMAGES}, and is of the class {name} by {LABELS} and "
                f"{CLASSES} in {folder}: tables of two releases are mixed. {_FETCH}"
            )
    missing = [picture for picture in pictures if not (folder / PICTURES / picture).is_file()]
    if missing:
        raise SourceError(
            f"{folder / PICTURES} lacks {count_of(len(missing), 'picture')} of {len(pictures):,}: "
            f"{shortened(missing, most=_SHOWN)}. {_FETCH}"
        )


def _image_attributes(
    path: Path, *, num_pictures: int, num_attributes: int
) -> tuple[Int8[np.ndarray, "picture attribute"], Int8[np.ndarray, "picture attribute"], int]:
    """Presence and certainty of each attribute in each picture, and how many lines have too many fields.

    In the published file 606 lines do; what they should hold are the first of them.
    """
    import pandas as pd

    text = _text(path)
    header = " ".join(map(str, range(_WIDEST)))  # makes room for lines that are too long
    try:
        frame = pd.read_csv(
            io.StringIO(f"{header}\n{text}"),
            sep=r"\s+",
            usecols=["0", "1", "2", "3", str(_FIELDS)],
            quoting=csv.QUOTE_NONE,
            skip_blank_lines=False,
            low_memory=False,
        )
    except ValueError as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error
    columns = [frame[str(place)] for place in range(4)]
    values = np.stack([pd.to_numeric(column, errors="coerce").to_numpy(np.float64) for column in columns], axis=1)
    lowest, highest = np.array([1, 1, 0, NOT_VISIBLE]), np.array([num_pictures, num_attributes, 1, DEFINITELY])
    fits = (values == np.round(values)) & (values >= lowest) & (values <= highest)  # which NaN is not
    if not fits.all():
        wrong = int(np.flatnonzero(~fits.all(axis=1))[0])
        raise SourceError(
            f"{path}, line {wrong + 1}: {brief(text.splitlines()[wrong])} does not begin with a picture up to "
            f"{num_pictures:,}, an attribute up to {num_attributes}, 0 or 1, and a certainty from {NOT_VISIBLE} to "
            f"{DEFINITELY}. {_FETCH}"
        )
    picture, attribute, present, certainty = values.astype(np.int64).T
    place = (picture - 1) * num_attributes + attribute - 1
    told = np.bincount(place, minlength=num_pictures * num_attributes)
    if len(wrong_places := np.flatnonzero(told != 1)):
        first, number = divmod(int(wrong_places[0]), num_attributes)
        raise SourceError(
            f"{path} should say once of each of {num_pictures:,} pictures whether it has each of {num_attributes} "
            f"attributes, and has {len(values):,} lines: of picture {first + 1} and attribute {number + 1} it says it "
            f"{told[wrong_places[0]]} times, and is wrong in {len(wrong_places):,} places. {_FETCH}"
        )
    shape = (num_pictures, num_attributes)
    both = np.empty((2, len(told)), dtype=np.int8)
    both[:, place] = present, certainty
    return both[0].reshape(shape), both[1].reshape(shape), int(frame[str(_FIELDS)].notna().sum())


def _class_attributes(path: Path, num_classes: int, num_attributes: int) -> Float[np.ndarray, "cls attribute"]:
    """Shares from 0 to 1, of the per cent that the table has."""
    lines = _lines(path)
    if len(lines) != num_classes:
        raise SourceError(f"{path} has {len(lines):,} lines, and there are {num_classes} classes. {_FETCH}")
    for number, line in enumerate(lines, start=1):
        if not _are_numbers(line, width=num_attributes):
            raise SourceError(
                f"{path}, line {number}: there are {len(line.split())} values and should be {num_attributes} numbers. "
                f"{_FETCH}"
            )
    shares = np.array([[float(word) for word in line.split()] for line in lines]) / 100
    if shares.min() < 0 or shares.max() > 1:
        raise SourceError(f"{path} holds a number that is no per cent, from 0 to 100.")
    return shares
