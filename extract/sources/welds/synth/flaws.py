"""Flaws drawn into a seam's relief, each with the outline that a person would mark."""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from .relief import Relief, SeamGrid
from .state import ArcState
from .texture import Plane, blur, dome, row_noise, soft_step, stamp, value_noise

_VISIBLE = 0.35  # of a flaw's full strength: above it a pixel counts as flawed
_HOLE_CORNERS = 28
_CRACK_STEPS = 9


def draw_flaws(
    relief: Relief,
    *,
    arc: ArcState,
    grid: SeamGrid,
    sites: Float[np.ndarray, " sites"],
    generator: np.random.Generator,
) -> None:
    """Draw every flaw that `arc` has into `relief`, in place."""
    found = arc.flaws
    steps: list[tuple[float, Callable[[], None]]] = [
        (found.overlap, lambda: _overlap(relief, grid, found.overlap, generator)),
        (found.convexity, lambda: _convexity(relief, grid, found.convexity)),
        (found.penetration, lambda: _penetration(relief, grid, found.penetration)),
        (found.undercut, lambda: _undercut(relief, grid, found.undercut, generator)),
        (found.unfused, lambda: _unfused(relief, grid, arc.offset, found.unfused, generator)),
        (arc.contamination, lambda: _soot(relief, grid, arc.contamination, generator)),
        (found.pores, lambda: _pores(relief, grid, found.pores, generator)),
        (found.holes, lambda: _holes(relief, grid, found.holes, sites, generator)),
        (found.cracks, lambda: _cracks(relief, grid, found.cracks, generator)),
        (found.spatter, lambda: _spatter(relief, grid, found.spatter, generator)),
    ]
    for amount, draw in steps:
        if amount > 0:
            draw()


def _mark(relief: Relief, strength: Plane) -> None:
    relief.flawed[...] |= strength > _VISIBLE


def _ridge(grid: SeamGrid, *, at: float, width: float) -> Plane:
    """A bell along the seam around `at` half widths from its centre line."""
    bell = np.exp(-(((grid.relative - np.float32(at)) / np.float32(width)) ** 2))
    return np.asarray(bell * grid.ends_mask, np.float32)


def _penetration(relief: Relief, grid: SeamGrid, amount: float) -> None:
    """The bead sinks through the joint: a hollow, dark, oxidised channel where the crown should be."""
    sunken = _ridge(grid, at=0.0, width=0.52) * grid.extent[None, :]
    relief.height[...] -= np.float32(0.75 * amount) * sunken * grid.half_width[None, :]
    burnt = np.float32(0.62 * amount) * sunken
    relief.stain(burnt, absorbs=(0.55, 0.85, 1.0))
    relief.gloss[...] *= 1 - np.float32(0.6 * amount) * sunken
    _mark(relief, sunken)


def _overlap(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """Metal rolls over the plate without melting it: rounded lobes beyond the toes, with a black line under them."""
    side = float(generator.choice((-1.0, 1.0)))
    for sign, share in ((side, 1.0), (-side, 0.45)):
        lobes = np.abs(row_noise(generator, width=grid.shape[1], cell=grid.unit * 0.3)) + np.float32(0.15)
        reach = np.float32((0.25 + 0.75 * amount) * share) * np.minimum(np.sqrt(lobes), 1.3) * grid.extent
        reach = reach * np.float32(0.85)
        beyond = grid.relative * np.float32(sign) - 1
        there = soft_step(reach[None, :] - np.float32(0.06), width=0.08) * grid.ends_mask
        inside = (
            soft_step(reach[None, :] - beyond, width=0.06) * soft_step(beyond + np.float32(0.2), width=0.12) * there
        )
        roll = np.sqrt(np.clip(1 - ((beyond + 0.25) / (reach[None, :] + 0.25)) ** 2, 0, 1)) * inside
        relief.height[...] = np.maximum(relief.height, roll * np.float32(0.4) * grid.half_width[None, :])
        skin = np.float32(0.5) + np.float32(0.16) * roll
        relief.cover(skin, weight=inside * soft_step(beyond + np.float32(0.06), width=0.1))
        under = np.exp(-(((beyond - reach[None, :] - np.float32(0.04)) / np.float32(0.09)) ** 2)) * there
        relief.darken(np.float32(0.9) * under)
        relief.gloss[...] += np.float32(0.4) * inside * (1 - relief.bead)
        relief.flawed[...] |= (inside > 0.5) & (beyond > 0)


def _convexity(relief: Relief, grid: SeamGrid, amount: float) -> None:
    """The crown itself is raised where the bead is laid; here its steep flanks fall into shade."""
    flank = (_ridge(grid, at=0.92, width=0.22) + _ridge(grid, at=-0.92, width=0.22)) * grid.extent[None, :]
    relief.darken(np.float32(0.75 * amount) * flank)
    body = (np.abs(grid.relative) < 1) * grid.extent[None, :] * grid.ends_mask
    relief.gloss[...] += np.float32(0.5 * amount) * body.astype(np.float32)
    _mark(relief, body.astype(np.float32))


def _undercut(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """Grooves melted into the plate beside the toes and left unfilled."""
    for sign in (-1.0, 1.0):
        uneven = row_noise(generator, width=grid.shape[1], cell=0.25 * grid.unit)
        strength = np.clip(np.float32(0.85) + np.float32(0.3) * uneven, 0, 1.2) * grid.extent
        groove = _ridge(grid, at=(1.12 + 0.1 * amount) * sign, width=0.08 + 0.2 * amount) * strength[None, :]
        lip = _ridge(grid, at=(1.3 + 0.38 * amount) * sign, width=0.1) * strength[None, :]
        relief.height[...] += np.float32(amount) * (np.float32(0.12) * lip - np.float32(0.5) * groove) * grid.half_width
        relief.darken(np.float32(0.5 + 0.6 * amount) * groove)
        relief.colour[...] += np.float32(0.22 * amount) * lip
        _mark(relief, groove)


def _unfused(relief: Relief, grid: SeamGrid, offset: float, amount: float, generator: np.random.Generator) -> None:
    """The joint stays open beside the bead, which lies to one side, narrow and ropy."""
    wobble = row_noise(generator, width=grid.shape[1], cell=0.2 * grid.unit) * np.float32(0.06)
    at = np.float32(-1.18 if offset > 0 else 1.18) + wobble[None, :]
    width = np.float32(0.1 + 0.26 * amount)
    open_joint = np.exp(-(((grid.relative - at) / width) ** 2)) * grid.ends_mask * grid.extent[None, :]
    relief.height[...] -= np.float32(0.5 * amount) * open_joint * grid.half_width[None, :]
    relief.darken(np.float32(0.55 + 0.43 * amount) * open_joint)
    ropy = value_noise(generator, shape=grid.shape, cell=(grid.unit / 5, grid.unit / 14))
    relief.height[...] += np.float32(0.14 * amount) * ropy * grid.half_width[None, :] * relief.bead * grid.extent
    _mark(relief, open_joint)


def _soot(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """Smoke settles along the seam as a brown film where the shielding failed or the plate was dirty."""
    film = np.exp(-((np.abs(grid.relative) - 1.1) ** 2) / np.float32(0.5))
    cloud = np.clip(value_noise(generator, shape=grid.shape, cell=(grid.unit / 5, grid.unit / 5)) * 0.35 + 0.75, 0, 1.3)
    strength = np.float32(min(0.75 * amount, 0.6)) * film * cloud * (np.float32(0.25) + grid.extent[None, :])
    relief.stain(np.clip(strength, 0, 0.85), absorbs=(1.0, 0.75, 0.55))
    relief.gloss[...] *= 1 - np.clip(strength, 0, 0.9)


def _scatter(
    grid: SeamGrid, *, count: int, spread: float, generator: np.random.Generator
) -> tuple[Float[np.ndarray, " count"], Float[np.ndarray, " count"]]:
    """Rows and columns of `count` points along the flaw's extent, within `spread` half widths of the centre line."""
    weights = np.clip(grid.extent, 0, None).astype(np.float64)
    weights[: grid.start] = weights[grid.end :] = 0
    cumulative = np.cumsum(weights) / weights.sum()
    columns = np.searchsorted(cumulative, generator.random(count)).clip(0, grid.shape[1] - 1)
    across = generator.uniform(-spread, spread, size=count) * grid.half_width[columns]
    return grid.centre[columns] + across, columns.astype(np.float64)


def _pores(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """Gas bubbles frozen in the bead: dark round pits with a bright rim, in clusters."""
    count = int(14 + 75 * amount)
    rows, columns = _scatter(grid, count=count, spread=0.75, generator=generator)
    radii = grid.unit * (0.009 + (0.014 + 0.02 * amount) * generator.random(count) ** 2)
    pits, rims = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for row, column, radius in zip(rows, columns, radii, strict=True):
        stamp(pits, row=row, column=column, patch=dome(radius))
        stamp(rims, row=row, column=column, patch=dome(1.5 * radius))
    pits *= soft_step(1 - np.abs(grid.relative), width=0.1)
    relief.height[...] -= pits * np.float32(0.022 * grid.unit)
    relief.colour[...] *= 1 + np.float32(0.3) * (rims > 0) * (pits == 0)
    relief.darken(np.minimum(pits * np.float32(1.6), np.float32(0.93)))
    relief.flawed[...] |= pits > 0.2


def _holes(
    relief: Relief,
    grid: SeamGrid,
    amount: float,
    sites: Float[np.ndarray, " sites"],
    generator: np.random.Generator,
) -> None:
    """Burn-through: ragged black holes in the seam with a thick, scaled rim."""
    mask = np.zeros(grid.shape, np.uint8)
    angles = np.linspace(0, 2 * np.pi, _HOLE_CORNERS, endpoint=False)
    for site in sites:
        column = int(grid.start + site * (grid.end - grid.start))
        radius = grid.half_width[column] * (0.4 + 0.75 * amount * generator.uniform(0.7, 1.15))
        lobes = 0.13 * np.sin(3 * angles + generator.uniform(0, 6))
        ragged = radius * (1 + lobes + 0.07 * generator.standard_normal(_HOLE_CORNERS))
        columns = column + 1.35 * ragged * np.cos(angles)
        rows = grid.centre[column] + ragged * np.sin(angles)
        cv2.fillPoly(mask, [np.rint(np.stack([columns, rows], axis=1)).astype(np.int32)], 255)
    hole = blur(mask.astype(np.float32) / np.float32(255), sigma=grid.unit / 180)
    wide = blur(hole, sigma=grid.unit / 22)
    rim = np.clip(wide * np.float32(1.8), 0, 1) * (1 - hole)
    relief.height[...] += rim * np.float32(0.09 * grid.unit) - hole * np.float32(0.12 * grid.unit)
    relief.stain(rim, absorbs=(0.35, 0.6, 0.65))
    relief.darken(np.minimum(hole * np.float32(1.1), np.float32(0.97)))
    relief.gloss[...] *= 1 - hole
    relief.flawed[...] |= mask > 0


def _cracks(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """A hollow end crater with star cracks, and hot cracks along the centre line where they ran on."""
    lines = np.zeros(grid.shape, np.uint8)
    thickness = max(1, round(grid.unit * (0.005 + 0.006 * amount)))
    end = grid.end
    end_row, end_half = float(grid.centre[end]), float(grid.half_width[end])
    for _ in range(4 + int(4 * amount)):
        angle = generator.uniform(0, 2 * np.pi)
        _crack(
            lines, (end - 0.2 * end_half, end_row), angle, end_half * generator.uniform(0.6, 1.15), thickness, generator
        )
    for _ in range(3 + int(11 * amount)):
        rows, columns = _scatter(grid, count=1, spread=0.3, generator=generator)
        angle = generator.normal(0, 0.25) + (np.pi / 2) * (generator.random() < 0.3)
        length = grid.unit * generator.uniform(0.15, 0.35 + 0.4 * amount)
        _crack(lines, (float(columns[0]), float(rows[0])), angle, length, thickness, generator)
    crack = blur(lines.astype(np.float32) / np.float32(255), sigma=grid.unit / 400)
    crack *= soft_step(np.float32(1.05) - np.abs(grid.relative), width=0.1)
    axis = np.arange(grid.shape[1], dtype=np.float32)[None, :] - np.float32(end - 0.2 * end_half)
    crater = np.exp(-(axis**2 + grid.across**2) / np.float32((0.75 * end_half) ** 2))
    relief.height[...] -= np.float32(0.5 * amount * end_half) * crater + np.float32(0.03 * grid.unit) * crack
    relief.darken(np.float32(0.45 * amount) * crater)
    relief.darken(np.minimum(crack * np.float32(1.3), np.float32(0.95)))
    relief.flawed[...] |= (crack > 0.3) | (crater * amount > 0.5)


def _crack(
    lines: UInt8[np.ndarray, "height width"],
    start: tuple[float, float],
    angle: float,
    length: float,
    thickness: int,
    generator: np.random.Generator,
) -> None:
    """A jagged line from `start` (column, row) of about `length` pixels."""
    turns = angle + 0.6 * np.cumsum(generator.normal(0, 0.45, size=_CRACK_STEPS))
    moves = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / _CRACK_STEPS)
    points = np.concatenate([np.array([start]), np.array([start]) + np.cumsum(moves, axis=0)])
    cv2.polylines(lines, [np.rint(points).astype(np.int32)], False, 255, thickness, cv2.LINE_AA)


def _spatter(relief: Relief, grid: SeamGrid, amount: float, generator: np.random.Generator) -> None:
    """Droplets that froze on the plate: small shiny balls in a dark ring, densest near the seam."""
    width = grid.shape[1]
    count = int(420 * amount)
    columns = generator.uniform(0, width, size=count)
    nearest = grid.half_width[columns.astype(np.int64)]
    away = nearest * (0.9 + np.abs(generator.standard_normal(count)) * 1.6)
    rows = grid.centre[columns.astype(np.int64)] + away * generator.choice((-1.0, 1.0), size=count)
    radii = grid.unit * (0.006 + (0.009 + 0.022 * min(amount, 1)) * generator.random(count) ** 2)
    balls, rings = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for row, column, radius in zip(rows, columns, radii, strict=True):
        stamp(balls, row=row, column=column, patch=dome(radius) * np.float32(radius))
        stamp(rings, row=row + 0.3 * radius, column=column, patch=dome(1.7 * radius))
    relief.darken(np.float32(0.6) * rings * (balls == 0))
    ball = (balls > 0).astype(np.float32)
    relief.cover(np.full(grid.shape, 0.6, np.float32), weight=ball)
    relief.height[...] += balls
    relief.gloss[...] += np.float32(0.5) * ball
    if amount > 0.2:
        relief.flawed[...] |= balls > 0
