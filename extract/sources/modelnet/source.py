"""ModelNet40 on disk, in either layout; each object is several samples, turned about the vertical and set upright.

<class>/{train,test}/<class>_0001.off       meshes, whose vertical is z, split as they lie
<class>/<class>_0001.txt                    modelnet40_normal_resampled: points with normals, whose vertical is y
modelnet40_{train,test}.txt                 beside the latter: which object is in which split

Whatever the vertical of the files, that of samples is z, so that nobody else has to know.

An object is a group: its turned copies are in one split. What a class looks like after part of a turn is its symmetry,
and where nobody says it, nothing is known of the orientation of its objects.
"""

import hashlib
import math
import re
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from ....cache.targets import TargetSpec, TargetValue
from ....configs.section import Positive
from ....errors import NotFoundError, SourceError, reason_of
from ....progress import say
from ....wording import count_of, is_are, listed, shortened
from ...settings import DataSettings
from ..group_split import SplitSettings, draw_splits, draw_validation
from ..listing import CLOUD_FORMATS, Listing, list_folder, of_formats
from ..new import NewSamples
from ..source import Sample, Split

POINTS = "points"

_SHOWN = 5  # names in a message
_SPLITS: tuple[Split, ...] = ("train", "test")
_NUM_CLASSES, _NUM_OBJECTS = 40, {"train": 9_843, "test": 2_468}  # of the whole release
_LISTS = "modelnet40_{}.txt"
_SHORT = 0.8  # of the median size: files of as many points differ by signs and digits alone, a twentieth
_CAVEAT = (
    "The orientation is the angle by which a file was turned: objects of a class are taken to stand alike in their "
    "files, and to be as symmetric as data.symmetry says."
)

ClassName = Annotated[str, Field(min_length=1, max_length=100)]


class ModelnetSettings(SplitSettings, DataSettings):
    """Shapes of ModelNet40: which classes, how often each is turned, and what is true of a turned one."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.modelnet.source:new_shapes"

    source: Literal["modelnet"] = Field("modelnet", description="What the data set is.")
    classes: tuple[ClassName, ...] | None = Field(None, min_length=1, description="Classes that are read; null: all.")
    copies: Positive = Field(12, le=1000, description="Samples of each object, each turned by another angle.")
    rotations: Literal["random", "even"] = Field(
        "random",
        description="random: angles that are drawn for each object, always the same for its name; even: the circle in "
        "equal steps, from 0.",
    )
    vertical: Literal["y", "z"] | None = Field(
        None,
        description="Axis that stands upright in the files; null: z of meshes, y of resampled points. In the store it "
        "is z.",
    )
    symmetry: dict[ClassName, Literal[0, 1, 2, 4]] = Field(
        {
            **dict.fromkeys(("bottle", "bowl", "cone", "vase"), 0),
            **dict.fromkeys(("bed", "chair", "desk", "monitor", "sofa", "toilet"), 1),
            **dict.fromkeys(("bathtub", "table"), 2),
            "glass_box": 4,
        },
        description="How many turns about the vertical leave an object of a class as it is; 0: any. Of classes that "
        "are left out, no orientation is known.",
    )
    kappa: float = Field(8.0, gt=0, le=500, description="Concentration of each peak of the true orientations.")


@dataclass(frozen=True)
class _Object:
    """One shape: its place below the root without ending is its key, its own name its group."""

    name: str
    class_name: str
    path: Path
    split: Split | None


@dataclass(frozen=True)
class ModelnetSource:
    """The objects in the order of their keys, each with its turned copies."""

    noun: ClassVar[str] = "shape"
    settings: ModelnetSettings

    def targets(self) -> Sequence[TargetSpec]:
        classes = tuple(sorted({str(sample.targets["class"]) for sample in self.samples()}))
        return (
            TargetSpec("class", "int16", classes=classes),
            TargetSpec("orientation", "float32", unit="degree", caveat=_CAVEAT),
            TargetSpec("symmetry", "int8"),
            TargetSpec("concentration", "float32"),
        )

    def samples(self) -> Sequence[Sample]:
        return self._listed

    @cached_property
    def _listed(self) -> Sequence[Sample]:
        root, settings = self.settings.root, self.settings
        objects = sorted(_find(root, settings.classes), key=lambda each: each.path)
        if not objects:
            raise NotFoundError(f"{root} has neither <class>/train/<class>_0001.off nor <class>/<class>_0001.txt.")
        _require_one_release(root, objects)
        objects = _as_listed(root, objects)
        _require_whole(root, objects)
        unknown = sorted({each.class_name for each in objects} - settings.symmetry.keys())
        if unknown:
            told = shortened(unknown, most=_SHOWN)
            say(f"{root}: no orientation is known of {told}; say their symmetry in data.symmetry.")
        samples = [sample for each in objects for sample in self._copies(each)]
        if objects[0].split is None:
            say(f"{root} says no splits: they are drawn, with data.split_seed = {settings.split_seed}.")
            return draw_splits(samples, settings)
        if not settings.val_fraction:
            return samples
        drawn = draw_validation(samples, settings)
        taken = len({sample.group for sample in drawn if sample.split == "val"})
        say(f"{root}: {count_of(taken, 'object')} of train are drawn for validation (data.val_fraction).")
        return drawn

    def _copies(self, found: _Object) -> Iterator[Sample]:
        settings = self.settings
        symmetry = settings.symmetry.get(found.class_name)
        vertical = _vertical(found.path, settings)
        key = found.path.relative_to(settings.root).with_suffix("").as_posix()
        for number, degrees in enumerate(_angles(found.name, settings)):
            known: dict[str, TargetValue] = {"class": found.class_name}
            if symmetry is not None:
                known |= {"orientation": degrees, "symmetry": symmetry, "concentration": settings.kappa}
            yield Sample(
                key=f"{key}/{number:02d}" if settings.copies > 1 else key,
                split=found.split or "train",  # until it is drawn
                group=found.name,
                files={POINTS: (found.path,)},
                targets=known,
                vectors={POINTS: _upright(degrees, vertical=vertical)},
            )


def new_shapes(settings: ModelnetSettings, path: Path, *, num_views: int) -> NewSamples:
    """Shapes that nobody has turned, of a file or of all files below a folder: each a sample as it stands.

    Raises:
        SourceError: if the file is no mesh and no points, or a folder cannot be listed.
    """
    if not path.is_dir():
        if not of_formats([path.name], CLOUD_FORMATS):
            raise SourceError(f"{path} is no shape ({', '.join(CLOUD_FORMATS)}).")
        return NewSamples(ModelnetSource.noun, path.parent, [_new(path, path.parent, settings)])
    found, folders, told = [], [path], []
    while folders:
        listing = _listing(folders.pop())
        found += [listing.folder / name for name in of_formats(listing.files, CLOUD_FORMATS)]
        told += [f"{listing.folder}: not read: {strange}." for strange in listing.strange(CLOUD_FORMATS)]
        folders += [listing.folder / name for name in listing.folders]
    return NewSamples(ModelnetSource.noun, path, [_new(each, path, settings) for each in sorted(found)], told=told)


def _new(path: Path, root: Path, settings: ModelnetSettings) -> Sample:
    key, rotation = path.relative_to(root).as_posix(), _upright(0.0, vertical=_vertical(path, settings))
    return Sample(
        key=key,
        split="test",
        group=key,
        files={POINTS: (path,)},
        vectors={POINTS: rotation} if any(rotation) else {},
    )


def _vertical(path: Path, settings: ModelnetSettings) -> Literal["y", "z"]:
    """The axis that stands upright in a file."""
    return settings.vertical or ("z" if path.suffix.lower() == ".off" else "y")


def _upright(degrees: float, *, vertical: Literal["y", "z"]) -> tuple[float, float, float]:
    """The rotation vector in degrees of a turn about the vertical, after which the vertical is z."""
    if vertical == "z":
        return 0.0, 0.0, degrees
    # A quarter turn about x, which brings y to z, and then the turn about z: the product of their quaternions.
    half = math.radians(degrees) / 2
    quarter = math.sqrt(0.5)
    axis = math.cos(half) * quarter, math.sin(half) * quarter, math.sin(half) * quarter
    angle = 2 * math.atan2(math.hypot(*axis), math.cos(half) * quarter)
    length = math.degrees(angle) / math.hypot(*axis)
    return axis[0] * length, axis[1] * length, axis[2] * length


def _angles(name: str, settings: ModelnetSettings) -> list[float]:
    """Degrees by which an object is turned, one a copy."""
    if settings.rotations == "even":
        return [360 * copy / settings.copies for copy in range(settings.copies)]
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    angles: list[float] = np.random.default_rng(seed).uniform(0, 360, size=settings.copies).tolist()
    return angles


def _find(root: Path, classes: Sequence[str] | None) -> Iterator[_Object]:
    """The objects of all folders that are of a class, or of those that are asked for."""
    folders = _listing(root).folders
    if missing := [name for name in classes or () if name not in folders]:
        raise NotFoundError(f"{root} has no folder {listed(missing)}, which data.classes names.")
    for class_name in folders if classes is None else classes:
        listing = _listing(root / class_name)
        yield from _meshes(listing, class_name)
        if classes is not None or any(name.startswith(f"{class_name}_") for name in listing.files):
            yield from _objects(listing, of_formats(listing.files, (".txt",)), class_name, None)


def _meshes(listing: Listing, class_name: str) -> Iterator[_Object]:
    """The objects in train/ and test/ of a folder that may be a class's, or none at all.

    Raises:
        SourceError: if one of the two holds all there is, or both are empty: the copy is cut.
    """
    parts = {split: _listing(listing.folder / split) for split in _SPLITS if split in listing.folders}
    found = {
        split: list(_objects(inner, of_formats(inner.files, (".off",)), class_name, split))
        for split, inner in parts.items()
    }
    # Other folders beside the classes, such as runs, may have a train/ too: files that are no meshes say so.
    are_empty = len(parts) == len(_SPLITS) and not any(
        inner.files or inner.folders or inner.others for inner in parts.values()
    )
    if are_empty or (any(found.values()) and not all(found.get(split) for split in _SPLITS)):
        lacking = listed(split for split in _SPLITS if not found.get(split))
        raise SourceError(
            f"{listing.folder} has no shapes in {lacking}: the copy is cut. Copy it again, or leave the class out with "
            "--set data.classes=[...]."
        )
    for split in found:
        yield from found[split]


def _objects(listing: Listing, names: Iterable[str], class_name: str, split: Split | None) -> Iterator[_Object]:
    pattern = re.compile(rf"{re.escape(class_name)}_[0-9]+")
    if strange := listing.strange((".off" if split else ".txt",)):
        raise SourceError(f"{listing.folder}: {listed(strange)}. Move it away, or copy the data set again.")
    for name in names:
        path = listing.folder / name
        if not pattern.fullmatch(path.stem):
            raise SourceError(
                f"{path} is not called {class_name}_ and a number: it belongs to another class, or is no object. Move "
                "it away."
            )
        yield _Object(path.stem, class_name, path, split)


def _listing(folder: Path) -> Listing:
    try:
        return list_folder(folder)
    except OSError as error:
        raise SourceError(f"{folder} cannot be listed ({reason_of(error)}); see that you may read it.") from error


def _require_one_release(root: Path, objects: Sequence[_Object]) -> None:
    first: dict[str, Path] = {}
    for each in objects:
        first.setdefault(each.path.suffix.lower(), each.path)
    if len(first) > 1:
        told = listed(str(path.relative_to(root)) for path in first.values())
        raise SourceError(f"{root} holds two releases, such as {told}: read each from a folder of its own.")


def _as_listed(root: Path, objects: Sequence[_Object]) -> list[_Object]:
    """The objects with the splits that the lists of the resampled release say, where they are there."""
    lists = {split: root / _LISTS.format(split) for split in _SPLITS}
    if objects[0].split is not None or not any(path.exists() for path in lists.values()):
        return list(objects)
    split_of: dict[str, Split] = {}
    for split, path in lists.items():
        try:
            names = path.read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path} cannot be read ({reason_of(error)}); it is one of two lists.") from error
        if both := [name for name in names if name in split_of]:
            raise SourceError(f"{path}: {shortened(both, most=_SHOWN)} is in {lists['train'].name}, too.")
        split_of |= dict.fromkeys(names, split)
    classes, found = {each.class_name for each in objects}, {each.name for each in objects}
    lost = sorted(name for name in split_of if name.rpartition("_")[0] in classes and name not in found)
    stray = sorted(found - split_of.keys())
    if lost or stray:
        told = f"lacks {shortened(lost, most=_SHOWN)}" if lost else f"has {shortened(stray, most=_SHOWN)} in no list"
        raise SourceError(f"{root} {told}: the copy is cut, or two releases are mixed; get it anew.")
    return [replace(each, split=split_of[each.name]) for each in objects]


def _require_whole(root: Path, objects: Sequence[_Object]) -> None:
    """Refuse a release with all classes and not all objects, where some classes alone are somebody's choice; and files
    of resampled points that are cut, which all have as many lines."""
    if objects[0].path.suffix.lower() == ".txt":
        sizes = [each.path.stat().st_size for each in objects]
        short = [
            each.name for each, size in zip(objects, sizes, strict=True) if size < _SHORT * statistics.median(sizes)
        ]
        if short:
            raise SourceError(
                f"{root}: {shortened(short, most=_SHOWN)} {is_are(len(short))} far shorter than other files, and all "
                "have as many points: the copy is cut. Copy it again, or move it away."
            )
    classes = {each.class_name for each in objects}
    counts = {split: sum(each.split == split for each in objects) for split in _NUM_OBJECTS}
    if len(classes) == _NUM_CLASSES and any(counts.values()) and counts != _NUM_OBJECTS:
        told = listed(f"{counts[split]:,} of {num:,} in {split}" for split, num in _NUM_OBJECTS.items())
        raise SourceError(f"{root} has all {_NUM_CLASSES} classes and {told}: the copy is cut; get it anew.")
