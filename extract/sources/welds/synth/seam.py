"""The finished seam of one weld: its bead, ripples and heat tint, which follow the process, and then its flaws."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float

from .flaws import draw_flaws
from .recording import SessionLook
from .relief import Relief, SeamGrid
from .state import NOMINAL_SPEED_CPM, ArcState, along
from .texture import Plane, blur, row_noise, soft_step, value_noise

# Heat tint of steel from the bead outwards, reflectance blue, green, red: scale, blue, purple, straw, bare plate.
_TINT_PLACES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_TINT_COLOURS = (
    (0.26, 0.24, 0.23),
    (0.46, 0.34, 0.27),
    (0.46, 0.36, 0.38),
    (0.34, 0.43, 0.54),
    (0.47, 0.55, 0.61),
    (0.60, 0.60, 0.60),
)
_TINT_STEPS = 256
_HALF_WIDTH = 0.165  # of the picture's height, at nominal heat
_WARP_REACH = 0.32  # rows of bow, in picture heights


@dataclass(frozen=True)
class Strip:
    """Where a seam is drawn: size of the strip, columns of the seam's ends, and the picture height `unit`."""

    height: int
    width: int
    start: int
    end: int
    unit: float


def half_width_of(arc: ArcState, *, unit: float) -> float:
    """Half the bead's width in pixels: it grows with heat input; a convex or cold bead has not wetted out."""
    narrow = 1 - 0.28 * arc.flaws.convexity - 0.25 * arc.flaws.unfused
    return unit * _HALF_WIDTH * float(np.exp(1.1 * arc.heat)) * narrow


def draw_seam(
    arc: ArcState,
    *,
    strip: Strip,
    sites: Float[np.ndarray, " sites"],
    look: SessionLook,
    generator: np.random.Generator,
    flaw_generator: np.random.Generator,
) -> Relief:
    """The seam that `arc` leaves on `strip`.

    All that a sound seam needs is drawn from `generator`, all that flaws need from `flaw_generator`: a weld and its
    sound twin differ in nothing but the flaw and what it does to the process.
    """
    grid = _lay_out(arc, strip=strip, generator=generator)
    relief = _bare_plate(arc, grid=grid, look=look, generator=generator)
    _lay_bead(relief, arc=arc, grid=grid, generator=generator)
    draw_flaws(relief, arc=arc, grid=grid, sites=sites, generator=flaw_generator)
    return relief


def bare_joint(strip: Strip, *, look: SessionLook, generator: np.random.Generator) -> Plane:
    """Grey reflectance of the two plates before welding: brushed steel and the dark joint between them."""
    shape = (strip.height, strip.width)
    steel = 0.55 + _brushed(shape, unit=strip.unit, look=look, generator=generator)
    rows = np.arange(strip.height, dtype=np.float32)[:, None] - np.float32(strip.height / 2)
    gap = np.exp(-((rows / np.float32(0.012 * strip.unit + 0.6)) ** 2))
    return np.asarray(steel * (1 - np.float32(0.75) * gap), np.float32)


def _lay_out(arc: ArcState, *, strip: Strip, generator: np.random.Generator) -> SeamGrid:
    columns = np.arange(strip.width, dtype=np.float32)
    place = (columns - strip.start) / np.float32(strip.end - strip.start)
    course = np.clip(place, 0, 1)
    heat = along(arc.profile, course)
    waviness = row_noise(generator, width=strip.width, cell=0.35 * strip.unit) * (0.02 + 0.12 * (1 - arc.stability))
    half_width = half_width_of(arc, unit=strip.unit) * np.exp(1.1 * heat + waviness)
    extent = along(arc.extent, course)

    bow = np.sin(np.pi * place) - 0.45 + 0.35 * np.sin(2.6 * np.pi * place)
    sway = row_noise(generator, width=strip.width, cell=strip.unit) * 0.005 * strip.unit
    shift = arc.offset * half_width * (extent if arc.flaws.unfused > 0 else 1.0)
    centre = strip.height / 2 + sway + shift + _WARP_REACH * arc.drift * strip.unit * bow
    rows = np.arange(strip.height, dtype=np.float32)[:, None]
    across = rows - centre[None, :].astype(np.float32)
    half_width = half_width.astype(np.float32)
    return SeamGrid(
        place=place.astype(np.float32),
        centre=centre.astype(np.float32),
        half_width=half_width,
        extent=extent.astype(np.float32),
        across=across,
        relative=across / half_width[None, :],
        unit=strip.unit,
        start=strip.start,
        end=strip.end,
    )


def _brushed(shape: tuple[int, int], *, unit: float, look: SessionLook, generator: np.random.Generator) -> Plane:
    """Fine lines of a brushed or rolled surface, and broad stains; about 0.05 strong."""
    lines = value_noise(generator, shape=shape, cell=(max(unit / 160, 1.0), unit / 2))
    stains = value_noise(generator, shape=shape, cell=(unit / 5, unit / 3))
    return np.asarray(look.brush_strength * (0.04 * lines + 0.035 * stains), np.float32)


def _bare_plate(arc: ArcState, *, grid: SeamGrid, look: SessionLook, generator: np.random.Generator) -> Relief:
    """The plate with its heat tint: the hotter the weld, the further from the seam the colours reach."""
    shape = grid.shape
    brushed = _brushed(shape, unit=grid.unit, look=look, generator=generator)
    course = np.clip(grid.place, 0, 1)
    reach = 0.19 * grid.unit * np.exp(1.3 * (arc.heat + along(arc.profile, course)))
    cloud = value_noise(generator, shape=shape, cell=(grid.unit / 12, grid.unit / 6))
    outside = np.abs(grid.across) - grid.half_width[None, :]
    ahead = np.maximum(grid.start - np.arange(shape[1]), np.arange(shape[1]) - grid.end).clip(0)[None, :]
    distance = np.hypot(np.maximum(outside, 0), ahead.astype(np.float32))
    tint = distance / reach[None, :].astype(np.float32) + np.float32(0.06) * cloud
    steps = np.linspace(0, 1, _TINT_STEPS)
    tables = [
        np.interp(steps, _TINT_PLACES, channel).astype(np.float32) for channel in zip(*_TINT_COLOURS, strict=True)
    ]
    step = np.clip(tint * _TINT_STEPS, 0, _TINT_STEPS - 1).astype(np.uint8)
    colour = np.stack([cv2.LUT(step, table) for table in tables])
    colour *= np.float32(look.plate_tone) * (1 + np.float32(1.6) * brushed)
    return Relief(
        height=brushed * np.float32(0.025 * grid.unit),
        colour=colour,
        gloss=np.full(shape, 0.28, np.float32),
        bead=np.zeros(shape, np.float32),
        flawed=np.zeros(shape, np.bool_),
    )


def _lay_bead(relief: Relief, *, arc: ArcState, grid: SeamGrid, generator: np.random.Generator) -> None:
    """Put the bead on the plate: crown, ripples and the silvery, patchy skin of solidified steel."""
    edge = np.float32(max(grid.unit / 150, 1.2))
    inside = soft_step(grid.half_width[None, :] - np.abs(grid.across), width=float(edge)) * grid.ends_mask
    section = np.clip(1 - grid.relative**2, 0, 1)
    crown = np.float32(0.34 * np.exp(0.5 * (arc.deposit - 0.5 * arc.heat)))
    crown = crown * (1 + np.float32(2.0 * arc.flaws.convexity) * grid.extent) * grid.half_width
    ripples = _ripples(arc, grid=grid, generator=generator)
    height = crown[None, :] * cv2.pow(section, 1.0 - 0.3 * arc.flaws.convexity)
    height += ripples * (np.float32(0.055) * grid.half_width)[None, :] * np.sqrt(section)
    relief.height[...] += (height - relief.height) * inside

    patches = value_noise(generator, shape=grid.shape, cell=(grid.unit / 14, grid.unit / 9))
    skin = 0.56 + 0.06 * patches + 0.09 * ripples - 0.14 * (1 - section) ** 2
    relief.cover(skin, weight=inside, tint=(1.0, 0.97, 0.95))
    # Slag and oxide gather where the bead meets the plate.
    toe = np.exp(-(((np.abs(grid.relative) - 1.03) / np.float32(0.06)) ** 2)) * grid.ends_mask
    relief.darken(np.float32(0.35) * toe)
    relief.gloss[...] += np.float32(0.5) * inside
    relief.bead[...] = inside


def _ripples(arc: ArcState, *, grid: SeamGrid, generator: np.random.Generator) -> Plane:
    """Crescents left by the freezing pool, -1 to 1: wider apart and more pointed the faster the torch travels."""
    speed = arc.speed / NOMINAL_SPEED_CPM
    spacing = 0.062 * grid.unit * speed**1.6
    restless = 1 - arc.stability
    uneven = row_noise(generator, width=grid.shape[1], cell=0.3 * grid.unit) * (0.12 + 0.6 * restless)
    columns = np.arange(grid.shape[1], dtype=np.float32)
    bend = (np.float32(0.75 * speed) * grid.half_width)[None, :] * grid.relative**2
    phase = (columns[None, :] + bend) / np.float32(spacing) + uneven[None, :]
    wave = np.sin(np.float32(2 * np.pi) * phase)
    return np.asarray(blur(wave * (np.float32(0.8) + np.float32(0.2) * wave), sigma=0.6), np.float32)
