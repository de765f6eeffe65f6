"""A street as boxes on the ground, in metres: x along it, y to the left, z up from the ground.

A street is the same for every scenario in it; cars, and what does not belong, are a scenario's own. What does not
belong is told by what it is, not by where: it stands or hovers where cars drive and people walk.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int64
from numpy.random import Generator

ROAD, SIDEWALK, BUILDING, SIGN, VEGETATION, TERRAIN, SKY, CAR, DYNAMIC = 1, 2, 3, 8, 9, 10, 11, 14, 21
"""Semantic ids of what belongs, as the simulator has them."""

ROAD_HALF, WALK_HALF = 4.0, 7.0  # metres from the middle
LENGTH = (-70.0, 170.0)
_BEHIND = 0.2  # share of what does not belong that stands where the camera does not look

# Of each kind its id, size (x, y, z), height above the ground, colour (red, green, blue) and reflectivity.
_KINDS = {
    "home": (29, (0.9, 1.6, 1.0), 0.0, (0.85, 0.25, 0.75), 0.85),
    "animal": (30, (1.8, 0.8, 1.5), 0.0, (0.75, 0.45, 0.05), 0.75),
    "nature": (31, (1.6, 1.8, 1.1), 0.0, (0.35, 0.75, 0.2), 0.8),
    "special": (32, (1.2, 1.2, 1.4), 0.0, (1.0, 0.45, 0.0), 1.0),
    "falling": (34, (1.3, 1.5, 1.3), 1.2, (0.2, 0.85, 0.9), 0.9),
}
KINDS = tuple(_KINDS)
SILENT_KIND = "falling"  # whose sheets do not say whether it is alive


@dataclass(frozen=True, eq=False)
class Boxes:
    """Boxes along the axes; `reflectivity` is from 0 to 1, as the lidar has it, and all boxes of one thing have its
    number in `things`, from 0 on."""

    low: Float[np.ndarray, "boxes 3"]
    high: Float[np.ndarray, "boxes 3"]
    colour: Float[np.ndarray, "boxes 3"]
    reflectivity: Float[np.ndarray, " boxes"]
    ids: Int64[np.ndarray, " boxes"]
    things: Int64[np.ndarray, " boxes"]

    def moved(self, by: Float[np.ndarray, "*boxes 3"]) -> "Boxes":
        """All of them moved by one vector, or each by its own."""
        return replace(self, low=self.low + by, high=self.high + by)

    @staticmethod
    def together(parts: Sequence["Boxes"]) -> "Boxes":
        """The boxes of all parts, whose things are different ones."""
        names = ("low", "high", "colour", "reflectivity", "ids")
        low, high, colour, reflectivity, ids = (
            np.concatenate([getattr(part, name) for part in parts]) for name in names
        )
        before = np.cumsum([0, *(part.things.max() + 1 for part in parts)])
        things = [part.things + start for part, start in zip(parts, before[:-1], strict=True)]
        return Boxes(low, high, colour, reflectivity, ids, np.concatenate(things))


@dataclass(frozen=True)
class Street:
    """What stands in a street, and its light; colours are from 0 to 1."""

    boxes: Boxes
    sky: tuple[float, float, float]
    light: float


def draw_street(generator: Generator) -> Street:
    """Buildings on both sides, trees and signs on the sidewalks."""
    boxes = []
    palette = generator.uniform(0.25, 0.8, size=(4, 3))
    for side in (-1, 1):
        x = LENGTH[0]
        while x < LENGTH[1]:
            length, depth, height = generator.uniform((8, 8, 5), (22, 14, 16))
            near = WALK_HALF + generator.uniform(0, 2)
            colour = palette[generator.integers(len(palette))] + generator.normal(0, 0.03, 3)
            boxes.append(_box((x, *_side(side, near, near + depth), 0.0, height), length, colour, 0.35, BUILDING))
            x += length + generator.uniform(0, 5)
        for x in np.arange(LENGTH[0], LENGTH[1], generator.uniform(11, 17)):
            y, x = side * (WALK_HALF - 0.8), x + generator.uniform(-2, 2)
            if generator.random() < 0.7:
                green = np.array([0.15, 0.4, 0.12]) + generator.normal(0, 0.04, 3)
                trunk = _box((x, y - 0.15, y + 0.15, 0.0, 2.4), 0.3, (0.3, 0.22, 0.15), 0.3, VEGETATION)
                crown = _box((x - 0.9, y - 1.0, y + 1.0, 2.2, 5.0), 2.1, green, 0.45, VEGETATION)
                boxes.append(_one_thing(trunk, crown))
            else:  # a sign shines in the lidar as what does not belong may, but hangs where signs do
                face = ((0.8, 0.1, 0.1), (0.1, 0.25, 0.8), (0.9, 0.85, 0.8))[generator.integers(3)]
                post = _box((x, y - 0.05, y + 0.05, 0.0, 2.2), 0.1, (0.5, 0.5, 0.5), 0.4, SIGN)
                boxes.append(_one_thing(post, _box((x, y - 0.4, y + 0.4, 2.2, 3.0), 0.1, face, 0.95, SIGN)))
    sky = generator.uniform((0.45, 0.6, 0.75), (0.7, 0.8, 0.95))
    return Street(Boxes.together(boxes), (float(sky[0]), float(sky[1]), float(sky[2])), generator.uniform(0.75, 1.1))


def draw_cars(generator: Generator, *, start: float) -> tuple[Boxes, Float[np.ndarray, "cars 3"]]:
    """Cars around a place, and how far each drives in a frame, in metres: ahead, oncoming, parked."""
    boxes, speeds = [], []
    for _ in range(generator.integers(4, 9)):
        lane, speed = ((-2.0, 1.5), (2.0, -1.5), (5.2, 0.0), (-5.2, 0.0))[generator.integers(4)]
        x = start + generator.uniform(-25, 60)
        if lane == -2.0 and abs(x - start) < 12:  # not where the camera drives
            x = start + generator.uniform(14, 50)
        length, width, height = generator.uniform((3.8, 1.6, 1.35), (5.0, 1.9, 1.8))
        paint = ((0.55, 0.55, 0.58), (0.85, 0.85, 0.85), (0.12, 0.12, 0.15), (0.15, 0.2, 0.45), (0.5, 0.1, 0.1))
        colour = np.array(paint[generator.integers(len(paint))]) + generator.normal(0, 0.03, 3)
        y = lane + generator.uniform(-0.3, 0.3)
        boxes.append(
            _box((x, y - width / 2, y + width / 2, 0.2, height), length, colour, generator.uniform(0.2, 0.65), CAR)
        )
        speeds.append((speed * generator.uniform(0.5, 1.2), 0.0, 0.0))
    return Boxes.together(boxes), np.array(speeds)


def draw_anomaly(generator: Generator, kind: str, *, start: float, cars: Boxes) -> Boxes:
    """Something of a kind that does not belong, around a place and in no car: a large box and a smaller one on it."""
    number, size, above, colour, reflectivity = _KINDS[kind]
    for _ in range(100):
        scale = generator.uniform(0.8, 1.3)
        length, width, height = np.array(size) * scale
        ahead = generator.random() > _BEHIND  # else beside or behind the camera, where the lidar alone sees it
        x = start + (generator.uniform(7, 20) if ahead else generator.uniform(-8, -2))
        y = generator.uniform(-5, 5) if ahead else generator.uniform(1, 5)
        low, high = np.array([x, y - width / 2, above]), np.array([x + length, y + width / 2, above + height])
        if not ((low < cars.high) & (high > cars.low)).all(axis=1).any():
            break
    tint = np.array(colour) + generator.normal(0, 0.06, 3)
    below = _box((x, low[1], high[1], above, above + 0.6 * height), length, tint, reflectivity, number)
    on_top = _box(
        (x + 0.3 * length, low[1] + 0.25 * width, high[1] - 0.25 * width, above + 0.6 * height, above + height),
        0.4 * length,
        tint * 0.8,
        reflectivity,
        number,
    )
    return _one_thing(below, on_top)


def _one_thing(*boxes: Boxes) -> Boxes:
    together = Boxes.together(boxes)
    return replace(together, things=np.zeros_like(together.things))


def _side(side: int, near: float, far: float) -> tuple[float, float]:
    return (near, far) if side > 0 else (-far, -near)


def _box(
    extent: Sequence[float],
    length: float,
    colour: Sequence[float] | Float[np.ndarray, "3"],
    reflectivity: float,
    number: int,
) -> Boxes:
    """A box from x on, between two y and two z."""
    x, y_low, y_high, z_low, z_high = extent
    return Boxes(
        np.array([[x, y_low, z_low]]),
        np.array([[x + length, y_high, z_high]]),
        np.clip(np.array([colour], dtype=np.float64), 0, 1),
        np.array([reflectivity]),
        np.array([number]),
        np.zeros(1, dtype=np.int64),
    )
