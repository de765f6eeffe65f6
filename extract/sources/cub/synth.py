"""The field's generator: synthetic birds in the files and formats of CUB-200-2011, with the quirks of these."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Int64

from ....atomic import replaced_file, write_text
from ....errors import SettingsError
from ....wording import count_of, format_size
from ..synth import Made, Size, check_mistakes, claimed_folder, write_each, write_record, write_settings
from .birds import (
    COLOURS,
    PARTS,
    Bird,
    Pose,
    Trait,
    draw_bird,
    draw_pose,
    draw_usual,
    log_chances,
    noise_picture,
    photograph,
    traits_of,
)
from .source import FOLDER, OFFICIAL
from .tables import (
    ATTRIBUTES,
    BOXES,
    CLASS_ATTRIBUTES,
    CLASSES,
    IMAGE_ATTRIBUTES,
    IMAGES,
    LABELS,
    PICTURES,
    PUBLISHED,
    SPLIT,
)

GENERATOR_VERSION = 1  # raise it when the same plan makes other data
USUAL_PRESET = "cub-demo"

READABLE, NOISE = "readable-attributes", "random-pictures"
MISTAKES = (READABLE, NOISE)
"""What can be planted: attributes that are those of the class, so that they hold the answer; and photographs of
nothing, as where features were drawn at random."""

_JPEG_QUALITY = 95
_EVERY = 6_000  # lines of image attributes, of which one has a field too many, as 606 of the published ones have
_FIRST = ("Amber", "Barred", "Crested", "Dusky", "Eared", "Fringed", "Golden", "Hooded", "Island", "Jewelled")
_LAST = ("Auk", "Bunting", "Cuckoo", "Dipper", "Egret", "Finch", "Grebe", "Heron", "Ibis", "Jay")


@dataclass(frozen=True)
class CubPlan:
    """All that decides what is written.

    Attributes:
        num_train: pictures of the official train, spread evenly over the classes; `num_test` alike.
        num_parts: parts of a bird that have attributes, in the order of the largest.
    """

    size: Size
    seed: int
    num_classes: int
    num_train: int
    num_test: int
    num_parts: int
    num_colours: int
    width: int
    height: int
    plant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"The seed of synthetic data is {self.seed}: give a whole number of at least 0.")
        check_mistakes(self.plant, known=MISTAKES)

    @cached_property
    def traits(self) -> tuple[Trait, ...]:
        """What birds differ in; the largest parts first."""
        largest = sorted(PARTS, key=lambda part: -PARTS[part][2] * PARTS[part][3])
        return traits_of(largest[: self.num_parts], list(COLOURS)[: self.num_colours])

    @cached_property
    def usual(self) -> Int64[np.ndarray, "cls trait"]:
        """What is usual of each class."""
        return draw_usual(self.traits, num_classes=self.num_classes, generator=stream(self.seed, Purpose.CLASSES))

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Names as in classes.txt."""
        names = [f"{first}_{last}" for last in _LAST for first in _FIRST] + [
            f"{first}_throated_{last}" for last in _LAST for first in _FIRST
        ]
        return tuple(f"{number:03d}.{names[number - 1]}" for number in range(1, self.num_classes + 1))


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of the data's identity: never renumber them, only add."""

    CLASSES = 0
    SPLIT = 1
    BIRD = 2
    POSE = 3
    PHOTOGRAPH = 4


def stream(seed: int, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose and one picture, independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))


@dataclass(frozen=True)
class Picture:
    """One picture to be: its number from 0, the class by its place, whether it is in train, and its name."""

    number: int
    kind: int
    is_train: bool
    name: str


_SIZES: Mapping[Size, CubPlan] = MappingProxyType(
    {
        "tiny": CubPlan("tiny", 0, 6, num_train=96, num_test=60, num_parts=6, num_colours=6, width=80, height=64),
        "small": CubPlan(
            "small", 0, 10, num_train=400, num_test=300, num_parts=8, num_colours=8, width=200, height=150
        ),
        "full": CubPlan(
            "full",
            0,
            PUBLISHED["classes"],
            num_train=OFFICIAL["train"],
            num_test=OFFICIAL["test"],
            num_parts=len(PARTS),
            num_colours=len(COLOURS),
            width=500,
            height=375,
        ),
    }
)


class CubGenerator:
    """The field's `Generator`."""

    def plan_for_size(self, size: Size, *, seed: int, plant: tuple[str, ...]) -> CubPlan:
        return dataclasses.replace(_SIZES[size], seed=seed, plant=plant)

    def generate(self, out: Path, *, plan: CubPlan, workers: int, preset: str | None) -> Made:
        pictures, folder = list_pictures(plan), out / FOLDER
        written = {"field": "cub", "generator_version": GENERATOR_VERSION, **dataclasses.asdict(plan)}
        counts = {
            "pictures": len(pictures),
            "classes": plan.num_classes,
            "attributes": sum(len(trait.values) for trait in plan.traits),
        }
        with claimed_folder(out, plan=written):
            missing = [each for each in pictures if not (folder / PICTURES / each.name).is_file()]
            write = partial(write_picture, folder, plan=plan)
            write_each(write, missing, workers=workers, unit="birds", total=len(pictures))
            birds = [bird_of(each, plan=plan) for each in pictures]
            for name, text in tables_of(plan, pictures, birds).items():
                write_text(out / name, text)
            write_settings(out, preset=preset, usual=USUAL_PRESET)
            num_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            ceiling = attribute_ceiling(plan, pictures, birds)
            told = {"field": "cub", "size": plan.size, "seed": plan.seed, **counts, "accuracy_ceiling": ceiling}
            write_record(out, told)
        return Made(
            f"The folder holds {count_of(len(pictures), 'bird')} of {plan.num_classes} classes with "
            f"{counts['attributes']} attributes (train {plan.num_train}, test {plan.num_test}), "
            f"{format_size(num_bytes)}. Who knew how each bird truly looks, and all classes, would get "
            f"{ceiling:.3f} of test right: more cannot be had."
        )


def list_pictures(plan: CubPlan) -> list[Picture]:
    """All pictures, class by class, as the published ones are listed."""
    kinds = np.sort(np.arange(plan.num_train + plan.num_test) % plan.num_classes)
    is_train = np.zeros(len(kinds), dtype=bool)
    # As many of each class as there is room for, so that neither part lacks one.
    order = stream(plan.seed, Purpose.SPLIT).permutation(len(kinds))
    rank = np.empty(len(kinds), dtype=np.int64)
    for kind in range(plan.num_classes):
        of_kind = order[kinds[order] == kind]
        rank[of_kind] = np.arange(len(of_kind))
    is_train[np.lexsort((kinds, rank))[: plan.num_train]] = True
    names = plan.class_names
    return [
        Picture(number, kind, in_train, f"{names[kind]}/{names[kind][4:]}_{number + 1:05d}.jpg")
        for number, (kind, in_train) in enumerate(zip(kinds.tolist(), is_train.tolist(), strict=True))
    ]


def bird_of(picture: Picture, *, plan: CubPlan) -> Bird:
    """The bird on a picture."""
    generator = stream(plan.seed, Purpose.BIRD, picture.number)
    return draw_bird(plan.usual[picture.kind], plan.traits, readable=READABLE in plan.plant, generator=generator)


def write_picture(folder: Path, picture: Picture, *, plan: CubPlan) -> int:
    """Write a photograph and return its bytes."""
    bird, generator = bird_of(picture, plan=plan), stream(plan.seed, Purpose.PHOTOGRAPH, picture.number)
    if NOISE in plan.plant:
        pixels = noise_picture(width=plan.width, height=plan.height, generator=generator)
    else:
        pose = _pose_of(picture, bird, plan=plan)
        pixels = photograph(bird, plan.traits, pose, width=plan.width, height=plan.height, generator=generator)
    path = folder / PICTURES / picture.name
    with replaced_file(path) as temporary:
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        temporary.write_bytes(cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), quality)[1].tobytes())
    return path.stat().st_size


def tables_of(plan: CubPlan, pictures: Sequence[Picture], birds: Sequence[Bird]) -> dict[str, str]:
    """Every table by its path; attributes.txt lies outside the folder, as in the archive."""
    attributes = [name for trait in plan.traits for name in trait.attributes()]
    poses = [_pose_of(picture, bird, plan=plan) for picture, bird in zip(pictures, birds, strict=True)]
    boxes = [pose.box(plan.width, plan.height) for pose in poses]
    of_image = {
        IMAGES: [picture.name for picture in pictures],
        LABELS: [str(picture.kind + 1) for picture in pictures],
        SPLIT: [str(int(picture.is_train)) for picture in pictures],
        BOXES: [" ".join(f"{number:.1f}" for number in box) for box in boxes],
    }
    present = np.stack([bird.present for bird in birds])
    kinds = np.array([picture.kind for picture in pictures])
    shares = [100 * present[kinds == kind].mean(axis=0) for kind in range(plan.num_classes)]
    return {
        ATTRIBUTES: _numbered(attributes),
        f"{FOLDER}/{CLASSES}": _numbered(plan.class_names),
        **{f"{FOLDER}/{name}": _numbered(values) for name, values in of_image.items()},
        f"{FOLDER}/{IMAGE_ATTRIBUTES}": "\n".join(_attribute_lines(birds)) + "\n",
        f"{FOLDER}/{CLASS_ATTRIBUTES}": "".join(" ".join(f"{each:.4f}" for each in row) + "\n" for row in shares),
    }


def attribute_ceiling(plan: CubPlan, pictures: Sequence[Picture], birds: Sequence[Bird]) -> float:
    """The accuracy on test of who knows how each bird truly looks and what is usual of each class."""
    tested = [(picture.kind, bird.state) for picture, bird in zip(pictures, birds, strict=True) if not picture.is_train]
    kinds, states = zip(*tested, strict=True)
    found = log_chances(np.stack(states), plan.usual, plan.traits).argmax(axis=1)
    return float(np.mean(found == np.array(kinds)))


def _pose_of(picture: Picture, bird: Bird, *, plan: CubPlan) -> Pose:
    generator = stream(plan.seed, Purpose.POSE, picture.number)
    return draw_pose(bird, plan.traits, width=plan.width, height=plan.height, generator=generator)


def _numbered(values: Sequence[str]) -> str:
    return "".join(f"{number} {value}\n" for number, value in enumerate(values, start=1))


def _attribute_lines(birds: Sequence[Bird]) -> list[str]:
    """A line a picture and attribute; some have a field too many."""
    lines = [
        f"{number} {attribute} {present} {certainty} 1.5"
        for number, bird in enumerate(birds, start=1)
        for attribute, (present, certainty) in enumerate(
            zip(bird.present.tolist(), bird.certainty.tolist(), strict=True), start=1
        )
    ]
    return [f"{line} 0" if place % _EVERY == _EVERY - 1 else line for place, line in enumerate(lines)]
