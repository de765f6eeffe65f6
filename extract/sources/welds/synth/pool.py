"""The melt pool and the arc above it at one moment, as the process camera sees them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from .roster import nominal_voltage
from .seam import half_width_of
from .state import NOMINAL_SPEED_CPM, ArcState
from .texture import Plane

_ARC_LIGHT = 4.0

Row = Float32[np.ndarray, "1 width"]
Column = Float32[np.ndarray, "height 1"]


@dataclass(frozen=True)
class PoolMoment:
    """Where the arc stands (pixels) and what it does there: local heat, flaw extent and burn-through, at `seconds`."""

    row: float
    column: float
    heat: float
    extent: float
    burst: float
    unit: float
    seconds: float


def draw_pool(scene: Plane, *, arc: ArcState, moment: PoolMoment) -> None:
    """Add pool and arc into `scene`, within the part of the frame that they can reach.

    The pool is a drop that trails behind the arc: its width follows the heat input, its length the travel speed too.
    """
    half = half_width_of(arc, unit=1.1 * moment.unit) * float(np.exp(1.1 * moment.heat))
    row = moment.row + half * arc.offset * moment.extent
    tail = half * (1.3 + 1.0 * arc.speed / NOMINAL_SPEED_CPM) * (1 - 0.35 * arc.flaws.convexity * moment.extent)
    front = half * (0.8 + 1.0 * arc.flaws.overlap * moment.extent)
    top, bottom = max(int(row - 2.2 * half), 0), min(int(row + 2.2 * half) + 1, scene.shape[0])
    left, right = max(int(moment.column - 1.2 * tail), 0), min(int(moment.column + 2.4 * half + front), scene.shape[1])
    if top >= bottom or left >= right:
        return
    y = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)) / np.float32(half)
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(moment.column)
    stretched = np.where(x < 0, x / np.float32(tail), x / np.float32(front))
    radius = stretched * stretched + y * y * (1 + np.float32(0.6) * np.clip(-stretched, 0, 1))
    edge = np.clip((1 - radius) * np.float32(6), 0, 1)
    window = scene[top:bottom, left:right]
    window += (_surface(x / np.float32(half), y, radius, arc=arc, moment=moment) - window) * edge
    window += _arc_core(x, y * np.float32(half), arc=arc, moment=moment, lateral=half * arc.offset * moment.extent)


def _surface(x: Row, y: Column, radius: Plane, *, arc: ArcState, moment: PoolMoment) -> Plane:
    """Brightness of the molten metal; `x` and `y` in half widths from the arc, `radius` 1 at the pool's edge."""
    flaws, here = arc.flaws, moment.extent
    waves = np.sin(np.float32(9) * np.sqrt(radius) - np.float32(34 * moment.seconds))
    bright = np.float32(0.85) + np.float32(0.35) * np.clip(1 - radius, 0, 1) + np.float32(0.1) * waves
    if flaws.convexity > 0:
        bright = bright + np.float32(0.9 * flaws.convexity * here) * np.exp(-((y + np.float32(0.25)) ** 2) * 9)
    if flaws.penetration > 0:
        keyhole = np.exp(-(((x + np.float32(1.0)) / np.float32(0.7)) ** 2) - (y / np.float32(0.5)) ** 2)
        bright = bright * (1 - np.float32(0.9 * flaws.penetration * here) * keyhole)
    if flaws.undercut > 0:
        notch = np.exp(-(((np.abs(y) - np.float32(0.8)) / np.float32(0.25)) ** 2))
        bright = bright * (1 - np.float32(0.9 * flaws.undercut * here) * notch)
    if flaws.pores > 0:
        bubbles = np.sin(x * 9 + np.float32(60 * moment.seconds)) * np.sin(y * 8 + np.float32(41 * moment.seconds))
        bright = bright * (1 - np.float32(0.75 * flaws.pores * here) * (bubbles > np.float32(0.5)))
    if moment.burst > 0.05:
        hole = np.exp(-(((x + np.float32(0.7)) / np.float32(0.8)) ** 2) - (y / np.float32(0.7)) ** 2)
        bright = bright * (1 - np.float32(min(moment.burst, 1.0)) * hole)
    return np.asarray(bright, np.float32)


def _arc_core(x: Row, y: Column, *, arc: ArcState, moment: PoolMoment, lateral: float) -> Plane:
    """The arc itself: brighter than all else, and wider the longer it burns, that is the higher its voltage."""
    length = arc.voltage / nominal_voltage(arc.current)
    reach = 0.06 * moment.unit * length**2.5 * float(np.exp(0.4 * arc.heat))
    away = x * x + (y + np.float32(0.5 * lateral)) ** 2
    return np.asarray(np.float32(_ARC_LIGHT) * np.exp(-away / np.float32(reach * reach)), np.float32)
