"""What is to be drawn in a report, not how: shapes that `report/drawing.py` makes pictures of.

Each says in words what it shows, for who cannot see it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..metrics.estimate import Estimate
from .exhibits import Circle

Tone = Literal["model", "contrast", "control", "third", "fourth"]
"""What a colour says: the model itself, what is held against it, and further ones."""


@dataclass(frozen=True)
class Intervals:
    """Estimates below each other, each a dot on its interval; `chance` is marked.

    Attributes:
        marks: a further value of each row, None where it has none; empty where no row has one.
        mark_name: what these are.
    """

    description: str
    axis: str
    rows: Sequence[tuple[str, Estimate, Tone]]
    chance: float = 0.5
    caption: str = ""
    narrow: bool = False
    marks: Sequence[float | None] = ()
    mark_name: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a panel, with a band from `low` to `high` where these are given.

    Attributes:
        shape: `faint` is a thin line, one of many; of `dots` each point stands for itself; of `steps` a height holds
            until the next.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    tone: Tone
    label: str = ""
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None
    shape: Literal["line", "faint", "dots", "steps"] = "line"


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines over one axis.

    Attributes:
        kind: `shares` are steps in the unit square above the diagonal of chance, `unit` steps in the unit square
            without it, `promise` lines there that should be the diagonal; the others run freely, from zero or on a
            logarithmic axis.
        chance: a height to be marked as what chance gives; None where there is none.
    """

    axis: str
    curves: Sequence[Curve]
    kind: Literal["free", "from_zero", "logarithmic", "shares", "unit", "promise"] = "free"
    chance: float | None = None


@dataclass(frozen=True, eq=False)
class Curves:
    """Panels below each other with one horizontal axis, on which `mark` is a place to be marked."""

    description: str
    axis: str
    panels: Sequence[Panel]
    mark: float | int | None = None
    caption: str = ""

    @property
    def narrow(self) -> bool:
        """Whether another figure has room beside it."""
        return self.panels[0].kind in ("shares", "unit", "promise")


@dataclass(frozen=True, eq=False)
class Group:
    """Values of some samples under one name."""

    label: str
    values: NDArray[np.float64]
    tone: Tone


@dataclass(frozen=True, eq=False)
class Spreads:
    """How the values of groups spread: as histograms over one another, or as boxes below each other.

    Attributes:
        mark: a place on the axis; in histograms with its name.
        share: what the bars of histograms add up to in each group.
    """

    description: str
    axis: str
    groups: Sequence[Group]
    shape: Literal["histograms", "boxes"]
    mark: float | int | None = None
    mark_name: str = ""
    share: str = ""
    caption: str = ""

    @property
    def narrow(self) -> bool:
        """Whether another figure has room beside it."""
        return self.shape == "histograms"


@dataclass(frozen=True, eq=False)
class Circles:
    """Densities of angles of several samples, each on a circle of its own."""

    description: str
    circles: Sequence[Circle]
    caption: str = ""
    narrow: bool = False


@dataclass(frozen=True)
class Upright:
    """One of several axes that stand beside each other; `ticks` are what is said at a height between 0 and 1."""

    label: str
    ticks: Sequence[tuple[float, str]]


@dataclass(frozen=True, eq=False)
class Parallels:
    """Lines across upright axes, one for each thing that has a height on every one of them.

    Attributes:
        heights: (lines, axes), between 0 and 1; NaN, at the foot of an axis, where a line has nothing there.
        strengths: (lines), from 0, faint, to 1.
    """

    description: str
    axes: Sequence[Upright]
    heights: NDArray[np.float64]
    strengths: NDArray[np.float64]
    caption: str = ""
    narrow: bool = False


Figure = Intervals | Curves | Spreads | Circles | Parallels
