"""The generator: meshes of four classes, one of each symmetry, in files with the quirks of the real ones.

cone        looks the same however it is turned            chair       has a front
table       has two long sides                             glass_box   is square and open at the top
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ....atomic import write_text
from ....wording import count_of, format_seconds, format_size
from ...decode.cloud_geometry import turned
from ..synth import Made, Size, check_mistakes, claimed_folder, write_each, write_record, write_settings

GENERATOR_VERSION = 1  # raise it when the same plan makes other data
USUAL_PRESET = "modelnet-demo"

TRAIN_IN_TEST, OBJECT_IN_TWO_PARTS = "train-in-test", "object-in-two-parts"
MISTAKES = (TRAIN_IN_TEST, OBJECT_IN_TWO_PARTS)
"""Files of train under other names in test; objects of train in test, turned, under their own."""

_NUM_OBJECTS: Mapping[Size, tuple[int, int]] = {"tiny": (8, 6), "small": (40, 20), "full": (171, 100)}
_PLANTED = 3  # objects of each class that a mistake is made with
_SIDES = 48  # of a cone

Corners = Float64[np.ndarray, "_ 3"]
Faces = Int64[np.ndarray, "_ 3"]

# The twelve triangles of a box whose corners are counted in binary, x first.
_BOX = np.array(
    [
        *((0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)),
        *((2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)),
    ]
)


@dataclass(frozen=True)
class ShapesPlan:
    """All that decides what is written: objects of each class in train and in test, and mistakes."""

    size: Size
    seed: int
    num_train: int
    num_test: int
    plant: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """One file: of which class and split, under which number; what is drawn follows from `drawn`, the number that the
    object itself has, and it is turned by some degrees first."""

    class_name: str
    split: str
    number: int
    drawn: int
    degrees: float = 0.0

    @property
    def path(self) -> Path:
        """Below the data set's folder."""
        return Path(self.class_name, self.split, f"{self.class_name}_{self.number:04d}.off")


class ShapesGenerator:
    """The field's `Generator`."""

    def plan_for_size(self, size: Size, *, seed: int, plant: tuple[str, ...]) -> ShapesPlan:
        check_mistakes(plant, known=MISTAKES)
        return ShapesPlan(size, seed, *_NUM_OBJECTS[size], plant)

    def generate(self, out: Path, *, plan: ShapesPlan, workers: int, preset: str | None) -> Made:
        started = time.monotonic()
        with claimed_folder(out, plan={"generator_version": GENERATOR_VERSION, **asdict(plan)}):
            shapes = list_shapes(plan)
            missing = [shape for shape in shapes if not (out / shape.path).is_file()]
            write_each(partial(_write, out, plan.seed), missing, workers=workers, unit="shapes", total=len(shapes))
            write_settings(out, preset=preset, usual=USUAL_PRESET)
            num_bytes = sum((out / shape.path).stat().st_size for shape in shapes)
            counts = {split: sum(shape.split == split for shape in shapes) for split in ("train", "test")}
            write_record(out, {"generator_version": GENERATOR_VERSION, **asdict(plan), "shapes": counts})
        told = (
            f"{count_of(len(shapes), 'shape')} of {len(CLASSES)} classes ({counts['train']} in train, "
            f"{counts['test']} in test), {format_size(num_bytes)}"
        )
        if not missing:
            return Made(f"Complete already, nothing to do: {told}.")
        seconds = format_seconds(time.monotonic() - started)
        return Made(f"Wrote {count_of(len(missing), 'shape')} in {seconds}; there are {told}.")


def list_shapes(plan: ShapesPlan) -> list[Shape]:
    """The files of a data set; numbers go on from train to test, as in the real one."""
    shapes = []
    for class_name in CLASSES:
        train = [Shape(class_name, "train", number, number) for number in range(1, plan.num_train + 1)]
        last = plan.num_train + plan.num_test
        test = [Shape(class_name, "test", number, number) for number in range(plan.num_train + 1, last + 1)]
        if TRAIN_IN_TEST in plan.plant:
            test += [Shape(class_name, "test", last + each.number, each.drawn) for each in train[:_PLANTED]]
        if OBJECT_IN_TWO_PARTS in plan.plant:
            test += [Shape(class_name, "test", each.number, each.drawn, degrees=30.0) for each in train[-_PLANTED:]]
        shapes += [*train, *test]
    return shapes


def _write(out: Path, seed: int, shape: Shape) -> int:
    generator = np.random.default_rng([seed, list(CLASSES).index(shape.class_name), shape.drawn])
    corners, faces = CLASSES[shape.class_name](generator)
    path = out / shape.path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, _off(turned(corners, (0.0, 0.0, shape.degrees)), faces, quirk=shape.drawn % 4))
    return path.stat().st_size


def _off(corners: Corners, faces: Faces, *, quirk: int) -> str:
    """The text of a file; some have counts glued to the header, a comment, or blank lines."""
    counts = f"{len(corners)} {len(faces)} 0"
    header = {0: f"OFF\n{counts}\n", 1: f"OFF{counts}\n", 2: f"OFF\n# corners, faces, edges\n{counts}\n"}
    lines = [" ".join(f"{value:.6g}" for value in corner) for corner in corners.tolist()]
    between = [""] if quirk == 3 else []
    lines += [*between, *(f"3 {first} {second} {third}" for first, second, third in faces.tolist())]
    return header.get(quirk, header[0]) + "\n".join(lines) + "\n"


def _boxes(boxes: Sequence[tuple[Sequence[float], Sequence[float]]]) -> tuple[Corners, Faces]:
    """Boxes from their lowest to their highest corner."""
    corners, faces = [], []
    for number, (low, high) in enumerate(boxes):
        ends = np.array([low, high])
        corners += [[ends[x, 0], ends[y, 1], ends[z, 2]] for x in (0, 1) for y in (0, 1) for z in (0, 1)]
        faces.append(_BOX + 8 * number)
    return np.array(corners), np.concatenate(faces)


def _legs(half_x: float, half_y: float, height: float, thick: float) -> list[tuple[list[float], list[float]]]:
    """Four legs below the corners of a plate that is `2 half_x` by `2 half_y`."""
    return [
        ([x - thick * (x > 0), y - thick * (y > 0), 0.0], [x + thick * (x < 0), y + thick * (y < 0), height])
        for x in (-half_x, half_x)
        for y in (-half_y, half_y)
    ]


def _cone(generator: np.random.Generator) -> tuple[Corners, Faces]:
    height, radius, top = generator.uniform(0.6, 2.0), generator.uniform(0.4, 0.9), generator.uniform(0.05, 0.3)
    angles = 2 * np.pi * np.arange(_SIDES) / _SIDES
    around = np.stack([np.cos(angles), np.sin(angles), np.zeros(_SIDES)], axis=1)
    corners = np.concatenate([radius * around, top * around + [0, 0, height], [[0, 0, 0], [0, 0, height]]])
    here, after = np.arange(_SIDES), (np.arange(_SIDES) + 1) % _SIDES
    bottom, lid = np.full(_SIDES, 2 * _SIDES), np.full(_SIDES, 2 * _SIDES + 1)
    sides = [(here, after, after + _SIDES), (here, after + _SIDES, here + _SIDES)]
    caps = [(bottom, after, here), (lid, here + _SIDES, after + _SIDES)]
    return corners, np.concatenate([np.stack(each, axis=1) for each in (*sides, *caps)])


def _chair(generator: np.random.Generator) -> tuple[Corners, Faces]:
    """Its front is where x grows."""
    deep, wide = generator.uniform(0.35, 0.5), generator.uniform(0.35, 0.5)
    seat, back, thick = generator.uniform(0.6, 0.9), generator.uniform(0.6, 1.1), generator.uniform(0.06, 0.12)
    return _boxes(
        [
            ([-deep, -wide, seat], [deep, wide, seat + thick]),
            ([-deep, -wide, seat + thick], [-deep + thick, wide, seat + back]),
            *_legs(deep, wide, seat, thick),
        ]
    )


def _table(generator: np.random.Generator) -> tuple[Corners, Faces]:
    """Its long sides lie along x."""
    long = generator.uniform(0.9, 1.3)
    short, height, thick = (
        long * generator.uniform(0.35, 0.6),
        generator.uniform(0.6, 1.0),
        generator.uniform(0.06, 0.12),
    )
    return _boxes([([-long, -short, height], [long, short, height + thick]), *_legs(long, short, height, thick)])


def _glass_box(generator: np.random.Generator) -> tuple[Corners, Faces]:
    half, height, thick = generator.uniform(0.5, 0.8), generator.uniform(0.4, 1.2), generator.uniform(0.03, 0.08)
    inner = half - thick
    return _boxes(
        [
            ([-half, -half, 0.0], [half, half, thick]),
            ([-half, -half, thick], [half, -inner, height]),
            ([-half, inner, thick], [half, half, height]),
            ([-half, -inner, thick], [-inner, inner, height]),
            ([inner, -inner, thick], [half, inner, height]),
        ]
    )


CLASSES: Mapping[str, Callable[[np.random.Generator], tuple[Corners, Faces]]] = {
    "cone": _cone,
    "chair": _chair,
    "table": _table,
    "glass_box": _glass_box,
}
"""The classes that are made, by their names in the real data set."""
