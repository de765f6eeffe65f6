"""Rays into a street: what a pinhole camera sees and what a lidar measures of the same boxes and the same ground.

Both hang 1.8 m above the ground, at the origin of the lidar's frame: x ahead, y to the left, z up. A pixel (u, v) at
the depth w is K (-y, -z, x), with 90 degrees from the left to the right edge.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, UInt8
from numpy.random import Generator

from .street import ROAD, ROAD_HALF, SIDEWALK, SKY, TERRAIN, WALK_HALF, Boxes, Street

HEIGHT = 1.8  # of both sensors above the ground, in metres
RANGE = 100.0  # of the lidar
_ELEVATIONS = (-24.0, 6.0)  # of its lowest and its highest channel, in degrees
_GROUND = {ROAD: ((0.28, 0.28, 0.3), 0.2), SIDEWALK: ((0.5, 0.48, 0.46), 0.3), TERRAIN: ((0.35, 0.4, 0.25), 0.3)}
_SHADES = np.array([0.75, 0.9, 1.0])  # of faces that look along x, y and z
_EPSILON = 1e-9
_ROUNDING = 1e-6  # of a cosine in single precision, and more
_FARTHEST = 150.0  # metres to what is looked at


@dataclass(frozen=True, eq=False)
class Hits:
    """What each ray meets first: how far away, whose id, the number of which thing, of which colour and reflectivity,
    and how squarely, from 0 to 1; the id of nothing is that of the sky, and ground and sky are no things: -1."""

    distance: Float[np.ndarray, " rays"]
    ids: Int64[np.ndarray, " rays"]
    things: Int64[np.ndarray, " rays"]
    colour: Float[np.ndarray, "rays 3"]
    reflectivity: Float[np.ndarray, " rays"]
    squarely: Float[np.ndarray, " rays"]


def cast(rays: Float[np.ndarray, "rays 3"], boxes: Boxes, *, along: float, across: float) -> Hits:
    """Cast rays from the origin at boxes in the sensors' frame and at the ground; `along` and `across` are where in the
    street the sensors are, in metres."""
    rays = np.where(np.abs(rays) < _EPSILON, _EPSILON, rays)
    inverse = 1 / rays
    length = np.linalg.norm(rays, axis=1)
    nearest, which = np.full(len(rays), np.inf), np.full(len(rays), -1)
    axis = np.zeros(len(rays), dtype=np.int64)
    for number, some in _rays_near(rays / length[:, np.newaxis], boxes):
        # Where each ray enters and leaves the slab between two faces, axis by axis: it meets the box where it has
        # entered all three slabs before it leaves one (Kay and Kajiya 1986).
        slabs = inverse[some].T
        one, other = (corner[number][:, np.newaxis] * slabs for corner in (boxes.low, boxes.high))
        entries = np.minimum(one, other)
        entered, left = entries.max(axis=0), np.maximum(one, other).min(axis=0)
        met = np.flatnonzero((entered < left) & (entered > 0) & (entered < nearest[some]))
        nearest[some[met]], which[some[met]] = entered[met], number
        axis[some[met]] = entries[:, met].argmax(axis=0)
    ground = np.where(rays[:, 2] < 0, -HEIGHT * inverse[:, 2], np.inf)
    on_ground = ground < nearest
    nearest = np.minimum(nearest, ground)
    far = ~np.isfinite(nearest)
    places = rays * np.where(far, 0, nearest)[:, np.newaxis]
    sideways = np.abs(places[:, 1] + across)
    ids = np.where(which >= 0, boxes.ids[which], SKY)
    colour, reflectivity = boxes.colour[which].copy(), boxes.reflectivity[which].copy()
    ground_ids = np.where(sideways < ROAD_HALF, ROAD, np.where(sideways < WALK_HALF, SIDEWALK, TERRAIN))
    for number, (paint, shine) in _GROUND.items():
        lies = on_ground & (ground_ids == number)
        ids[lies], colour[lies], reflectivity[lies] = number, paint, shine
    lane = on_ground & (sideways < 0.12) & (np.mod(places[:, 0] + along, 6) < 3)
    colour[lane], reflectivity[lane] = 0.9, 0.9
    axis[on_ground] = 2
    # A wall is not of one colour: rows and columns of windows, and stains.
    window = (np.mod(places[:, 2] + HEIGHT, 3) > 1.4) & (np.mod(places[:, 0] + along, 4) > 2) & (axis == 1)
    colour[window & ~on_ground & (reflectivity == 0.35)] *= 0.55
    squarely = np.abs(np.take_along_axis(rays, axis[:, np.newaxis], axis=1)[:, 0]) / length
    ids[far] = SKY
    things = np.where((which >= 0) & ~on_ground, boxes.things[which], -1)
    return Hits(nearest * length, ids, things, colour * _SHADES[axis][:, np.newaxis], reflectivity, squarely)


def _rays_near(
    directions: Float[np.ndarray, "rays 3"], boxes: Boxes
) -> Iterator[tuple[int, Int64[np.ndarray, " some"]]]:
    """Of each box that some ray may meet, the rays that meet the sphere around it: a small part, as boxes are small."""
    near = (boxes.low < _FARTHEST).all(axis=1) & (boxes.high > -_FARTHEST).all(axis=1)
    centres, radii = (boxes.low + boxes.high) / 2, np.linalg.norm(boxes.high - boxes.low, axis=1) / 2
    away = np.linalg.norm(centres, axis=1)
    directions = directions.astype(np.float32)
    for number in np.flatnonzero(near).tolist():
        if away[number] <= radii[number]:
            yield number, np.arange(len(directions))
            continue
        cosine = np.sqrt(1 - (radii[number] / away[number]) ** 2) - _ROUNDING
        some = np.flatnonzero(directions @ (centres[number] / away[number]).astype(np.float32) >= cosine)
        if len(some):
            yield number, some


@dataclass(frozen=True, eq=False)
class Picture:
    """What the camera sees: red, green and blue; the semantic id, the number of the thing and the depth of each pixel,
    in metres along the view, infinite in the sky."""

    pixels: UInt8[np.ndarray, "height width 3"]
    ids: UInt8[np.ndarray, "height width"]
    things: Int64[np.ndarray, "height width"]
    depth: Float[np.ndarray, "height width"]


def photograph(
    boxes: Boxes, street: Street, *, width: int, height: int, along: float, across: float, generator: Generator
) -> Picture:
    """The picture of what stands before the camera."""
    focal = width / 2
    u, v = np.meshgrid(np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2)
    rays = np.stack([np.ones(u.size), -u.ravel() / focal, -v.ravel() / focal], axis=1)
    hits = cast(rays, boxes, along=along, across=across)
    haze = np.where(np.isfinite(hits.distance), 1 - np.exp(-hits.distance / 250), 1)[:, np.newaxis]
    seen = hits.colour * street.light * (1 - haze) + np.array(street.sky) * haze
    seen += generator.normal(0, 0.015, seen.shape)
    pixels = (np.clip(seen, 0, 1) * 255).round().astype(np.uint8).reshape(height, width, 3)
    ids, things = (each.reshape(height, width) for each in (hits.ids.astype(np.uint8), hits.things))
    depth = hits.distance / np.linalg.norm(rays, axis=1)  # the view is along x, in which each ray has 1
    return Picture(pixels, ids, things, depth.reshape(height, width))


def scan(
    boxes: Boxes, *, channels: int, azimuths: int, turned: float, along: float, across: float, generator: Generator
) -> tuple[Float[np.ndarray, "points 4"], Int64[np.ndarray, " points"]]:
    """Points as the lidar measures them, x, y, z and intensity, and the semantic id of what each lies on; `turned` is
    by which part of a step it begins further on."""
    up = np.radians(np.linspace(*_ELEVATIONS, channels))
    around = (np.arange(azimuths) + turned) * 2 * np.pi / azimuths
    up, around = (each.ravel() for each in np.meshgrid(up, around, indexing="ij"))
    rays = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], axis=1)
    hits = cast(rays, boxes, along=along, across=across)
    back = hits.distance < RANGE
    distance = hits.distance[back] + generator.normal(0, 0.02, int(back.sum()))
    intensity = hits.reflectivity[back] * (0.5 + 0.5 * hits.squarely[back]) * np.exp(-0.004 * hits.distance[back])
    intensity = np.clip(intensity + generator.normal(0, 0.03, len(intensity)), 0, 1)
    return np.column_stack([rays[back] * distance[:, np.newaxis], intensity]), hits.ids[back]
