"""Synthetic birds: what each looks like, what people say of it, and its photograph.

A class has a usual colour of each part, size, bill and pattern. A bird of it has each of these with a probability that
its class has, and another one else: so attributes tell the class, but not surely, and a photograph tells the
attributes, but not where a leaf hides a part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from jaxtyping import Float, Int8, Int64, UInt8
from numpy.typing import NDArray

from .tables import DEFINITELY, NOT_VISIBLE

COLOURS: Mapping[str, tuple[int, int, int]] = MappingProxyType(  # red, green, blue
    {
        "blue": (40, 70, 200),
        "brown": (120, 72, 30),
        "white": (245, 245, 240),
        "black": (20, 20, 22),
        "yellow": (240, 215, 40),
        "red": (205, 30, 35),
        "grey": (135, 135, 140),
        "green": (40, 130, 60),
        "orange": (240, 130, 30),
        "purple": (115, 45, 150),
        "pink": (240, 150, 180),
        "buff": (220, 190, 140),
        "iridescent": (40, 160, 160),
        "rufous": (165, 66, 40),
        "olive": (110, 115, 45),
    }
)

Shape = tuple[float, float, float, float, float]

# Ellipses in the bird's own frame, x to its front and y down: centre, half axes, degrees. Drawn from the first on.
PARTS: Mapping[str, Shape] = MappingProxyType(
    {
        "tail": (-0.78, 0.12, 0.34, 0.09, 20),
        "leg": (0.02, 0.55, 0.04, 0.22, 0),
        "belly": (0.02, 0.16, 0.46, 0.30, 0),
        "breast": (0.32, 0.04, 0.24, 0.26, 30),
        "back": (-0.14, -0.12, 0.46, 0.20, 12),
        "wing": (-0.18, 0.06, 0.38, 0.17, 16),
        "crown": (0.52, -0.40, 0.23, 0.20, 0),
        "bill": (0.84, -0.32, 0.16, 0.06, 8),
        "throat": (0.56, -0.22, 0.15, 0.10, 20),
        "nape": (0.34, -0.30, 0.11, 0.14, 20),
        "forehead": (0.68, -0.42, 0.08, 0.10, 0),
        "cheek": (0.54, -0.31, 0.10, 0.07, 0),
        "eye": (0.62, -0.38, 0.04, 0.04, 0),
        "eyebrow": (0.60, -0.46, 0.10, 0.03, 8),
        "flank": (0.12, 0.20, 0.12, 0.14, 0),
        "rump": (-0.52, 0.04, 0.12, 0.10, 20),
        "wing_tip": (-0.48, 0.16, 0.14, 0.06, 20),
        "wing_bar": (-0.10, 0.04, 0.22, 0.03, 16),
        "tail_tip": (-1.02, 0.20, 0.10, 0.08, 20),
        "under_tail": (-0.56, 0.20, 0.14, 0.06, 24),
    }
)
_SIZES = MappingProxyType({"very_small": 0.62, "small": 0.74, "medium": 0.86, "large": 1.0, "very_large": 1.15})
_BILLS = MappingProxyType({"short": 0.7, "as_the_head": 1.2, "long": 1.8})
_PATTERNS = ("solid", "spotted", "striped", "multi-colored")

_USUAL = 0.7  # chance that a bird has what is usual of its class
_HIDDEN = 0.08  # chance that a part is not visible
# How often people are how certain of what they see, and how often they are wrong then.
_CERTAINTIES = ((2, 0.1, 0.3), (3, 0.3, 0.1), (DEFINITELY, 0.6, 0.02))
_LEAF = (70, 110, 45)
_MIDDLE = 380  # red, green and blue together, below which a part is dark


@dataclass(frozen=True)
class Trait:
    """A group of attributes of which a bird has one, such as the colour of its wing."""

    name: str
    values: tuple[str, ...]

    def attributes(self) -> list[str]:
        """As they stand in attributes.txt."""
        return [f"{self.name}::{value}" for value in self.values]


def traits_of(parts: Sequence[str], colours: Sequence[str]) -> tuple[Trait, ...]:
    """All traits of birds with these parts in these colours; with all parts and colours they have 312 attributes."""
    return (
        *(Trait(f"has_{part}_color", tuple(colours)) for part in parts),
        Trait("has_size", tuple(_SIZES)),
        Trait("has_bill_length", tuple(_BILLS)),
        Trait("has_belly_pattern", _PATTERNS),
    )


@dataclass(frozen=True, eq=False)
class Bird:
    """What a bird looks like, and what people say of it.

    Attributes:
        state: of each trait the value that it has.
        visible: whether its photograph shows it.
        present: 1 where people say that it has the attribute, by attribute.
        certainty: how certain they are, by attribute.
    """

    state: Int64[np.ndarray, " trait"]
    visible: NDArray[np.bool_]
    present: Int8[np.ndarray, " attribute"]
    certainty: Int8[np.ndarray, " attribute"]


def draw_usual(
    traits: Sequence[Trait], *, num_classes: int, generator: np.random.Generator
) -> Int64[np.ndarray, "cls trait"]:
    """What is usual of each class; all differ in some traits, and share most with some other class."""
    usual = np.stack([generator.integers(len(trait.values), size=num_classes) for trait in traits], axis=1)
    for kind in range(1, num_classes, 2):  # relatives: most traits are those of the class before
        shared = generator.permutation(len(traits))[: 2 * len(traits) // 3]
        usual[kind, shared] = usual[kind - 1, shared]
    return usual


def log_chances(
    states: Int64[np.ndarray, "bird trait"], usual: Int64[np.ndarray, "cls trait"], traits: Sequence[Trait]
) -> Float[np.ndarray, "bird cls"]:
    """Logarithm of the chance that a bird of each class looks like this."""
    found = np.zeros((len(states), len(usual)))
    for place, trait in enumerate(traits):
        other = (1 - _USUAL) / (len(trait.values) - 1)
        found += np.log(np.where(states[:, place, np.newaxis] == usual[:, place], _USUAL, other))
    return found


def draw_bird(
    usual: Int64[np.ndarray, " trait"], traits: Sequence[Trait], *, readable: bool, generator: np.random.Generator
) -> Bird:
    """A bird of a class of which this is usual; where it is `readable`, people say of it what is usual of its class."""
    state = usual.copy()
    for place, trait in enumerate(traits):
        if generator.random() >= _USUAL:
            others = [value for value in range(len(trait.values)) if value != usual[place]]
            state[place] = generator.choice(others)
    visible = generator.random(len(traits)) >= _HIDDEN
    present, certainty = [], []
    for place, trait in enumerate(traits):
        told, certain = _told(int(state[place]), trait, is_visible=bool(visible[place]), generator=generator)
        if readable:
            told, certain = int(usual[place]), DEFINITELY
        present += [int(value == told) for value in range(len(trait.values))]
        certainty += [certain] * len(trait.values)
    return Bird(state, visible, np.array(present, np.int8), np.array(certainty, np.int8))


def _told(value: int, trait: Trait, *, is_visible: bool, generator: np.random.Generator) -> tuple[int | None, int]:
    """The value that people say a trait has, and how certain they are; of what they do not see they say that there is
    none."""
    place = generator.choice(len(_CERTAINTIES), p=[share for _, share, _ in _CERTAINTIES])
    certain, _, errors = _CERTAINTIES[int(place)]
    chance, other = generator.random(), int(generator.integers(1, len(trait.values)))
    if not is_visible:
        return None, NOT_VISIBLE
    return ((value + other) % len(trait.values) if chance < errors else value), certain


@dataclass(frozen=True, eq=False)
class Pose:
    """Where a bird is on its photograph: its centre, half its length in pixels, and 1 where it looks to the right."""

    centre: Float[np.ndarray, "2"]
    scale: float
    facing: int

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, width and height of the bird in pixels, as far as the photograph goes."""
        most = np.array([width, height])
        low = np.clip(self.centre - self.scale * np.array([1.15, 0.65]), 0, most - 2).round()
        high = np.clip(self.centre + self.scale * np.array([1.15, 0.8]), low + 1, most).round()
        left, top, across, down = np.concatenate([low, high - low]).astype(int).tolist()
        return left, top, across, down


def draw_pose(bird: Bird, traits: Sequence[Trait], *, width: int, height: int, generator: np.random.Generator) -> Pose:
    """How a bird stands on its photograph; large ones fill more of it."""
    size = _values(bird, traits)["has_size"]
    return Pose(
        centre=np.array([width, height]) * (0.5 + generator.uniform(-0.06, 0.06, size=2)),
        scale=0.36 * min(width, height) * _SIZES[size] * generator.uniform(0.92, 1.08),
        facing=1 if generator.random() < 0.5 else -1,
    )


def photograph(
    bird: Bird, traits: Sequence[Trait], pose: Pose, *, width: int, height: int, generator: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """The photograph in red, green and blue."""
    value = _values(bird, traits)
    seen = {trait.name: bool(each) for trait, each in zip(traits, bird.visible, strict=True)}
    pixels = _background(width, height, generator)
    for part, (x, y, rx, ry, degrees) in PARTS.items():
        stretch = _BILLS[value["has_bill_length"]] if part == "bill" else 1.0
        colour = COLOURS[value.get(f"has_{part}_color", "grey")] if seen.get(f"has_{part}_color", True) else _LEAF
        _ellipse(pixels, pose, (x + rx * (stretch - 1), y, rx * stretch, ry, degrees), colour)
        if part == "belly":
            _pattern(pixels, pose, value["has_belly_pattern"], dark=sum(colour) <= _MIDDLE)
    light, noise = generator.uniform(0.8, 1.15), generator.normal(0, 7, size=pixels.shape)
    return np.clip(pixels * light + noise, 0, 255).astype(np.uint8)


def noise_picture(*, width: int, height: int, generator: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """A picture of nothing."""
    coarse = generator.integers(256, size=(6, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def _values(bird: Bird, traits: Sequence[Trait]) -> dict[str, str]:
    return {trait.name: trait.values[each] for trait, each in zip(traits, bird.state.tolist(), strict=True)}


def _ellipse(pixels: NDArray[np.uint8], pose: Pose, shape: Shape, colour: tuple[int, int, int]) -> None:
    x, y, rx, ry, degrees = shape
    middle = pose.centre + pose.scale * np.array([pose.facing * x, y])
    axes = np.maximum(pose.scale * np.array([rx, ry]), 1)
    centre, half = (each.round().astype(int).tolist() for each in (middle, axes))
    cv2.ellipse(pixels, centre, half, -pose.facing * degrees, 0, 360, colour, thickness=-1, lineType=cv2.LINE_AA)


def _pattern(pixels: NDArray[np.uint8], pose: Pose, name: str, *, dark: bool) -> None:
    """Marks on the belly: light ones where it is dark, and dark ones where it is light."""
    x, y, rx, ry, _ = PARTS["belly"]
    marks: Mapping[str, list[Shape]] = {
        "spotted": [
            (x + across * rx, y + (0.4 + down) * ry, 0.05, 0.05, 0) for across in (-0.5, 0, 0.5) for down in (-0.2, 0.2)
        ],
        "striped": [(x + across * rx, y + 0.3 * ry, 0.03, 0.5 * ry, 0) for across in (-0.5, 0, 0.5)],
        "multi-colored": [(x + 0.2 * rx, y + 0.45 * ry, 0.5 * rx, 0.35 * ry, 0)],
    }
    for shape in marks.get(name, []):
        _ellipse(pixels, pose, shape, (235, 235, 235) if dark else (30, 30, 30))


def _background(width: int, height: int, generator: np.random.Generator) -> UInt8[np.ndarray, "height width 3"]:
    """Sky above, ground below, out of focus."""
    sky, ground = generator.uniform(120, 230, size=3), generator.uniform(50, 150, size=3)
    down = np.linspace(0, 1, height)[:, np.newaxis, np.newaxis] + generator.uniform(-0.2, 0.2)
    blotches = cv2.resize(generator.normal(0, 14, size=(5, 7, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    pixels = sky + (ground - sky) * np.clip(down, 0, 1) + blotches
    return np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8))
