"""Geometry of point clouds: points on a surface, scale and turn, farthest points, neighbours within a radius.

Numbers in, numbers out. What is drawn comes from the generator that is given, and the same cloud gives the same.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

Points = Float64[np.ndarray, "_ 3"]


def points_on_surface(
    corners: Points, triangles: Int64[np.ndarray, "triangles 3"], *, num_points: int, generator: np.random.Generator
) -> tuple[Points, Points, Int64[np.ndarray, " points"]]:
    """Points drawn on triangles, each as likely as its area is large: places, unit normals, numbers of triangles.

    Raises:
        ValueError: if the triangles have no area.
    """
    first, second, third = (corners[triangles[:, place]] for place in range(3))
    normals = np.cross(second - first, third - first)
    doubled = np.linalg.norm(normals, axis=1)  # twice the area
    total = float(doubled.sum())
    if not 0 < total < math.inf:
        raise ValueError("its faces have no area")
    chosen = generator.choice(len(triangles), size=num_points, p=doubled / total)
    # The square root makes the density even: of the unit square folded onto a triangle.
    across, along = np.sqrt(generator.random(num_points)), generator.random(num_points)
    weights = np.stack([1 - across, across * (1 - along), across * along], axis=1)
    places = np.einsum("pw,pwd->pd", weights, corners[triangles[chosen]])
    return places, normals[chosen] / doubled[chosen, np.newaxis], chosen.astype(np.int64)


def turned(vectors: Points, rotation: Sequence[float]) -> Points:
    """Vectors turned about the origin by a rotation vector: its direction is the axis, its length the angle in degrees,
    counted anticlockwise for who looks against the axis.

    Source: Rodrigues' formula.
    """
    vector = np.asarray(rotation, dtype=np.float64)
    degrees = float(np.linalg.norm(vector))
    if degrees == 0:
        return vectors
    axis, angle = vector / degrees, math.radians(degrees)
    crossed = np.cross(axis, vectors)
    along = np.outer(vectors @ axis, axis)
    return np.asarray(vectors * math.cos(angle) + crossed * math.sin(angle) + along * (1 - math.cos(angle)))


def in_unit_sphere(points: Points) -> Points:
    """Points moved to have their mean in the origin, and scaled to have the farthest of them at distance 1."""
    centred = np.asarray(points - points.mean(axis=0))
    farthest = float(np.linalg.norm(centred, axis=1).max())
    return np.asarray(centred / farthest) if farthest > 0 else centred


def farthest_points(points: Points, num: int, *, start: int | None = None) -> Int64[np.ndarray, " num"]:
    """Numbers of points, each the farthest from all before it, the first `start` or else the farthest from the mean.

    What is taken is independent of how many are asked for: fewer are the first of more. Of fewer than `num` points all
    are taken, and then all again in the same order: a maximum over them stays what it is.

    Source: Eldar et al. 1997, The farthest point strategy for progressive image sampling.
    """
    if start is None:
        start = int(np.linalg.norm(points - points.mean(axis=0), axis=1).argmax())
    taken = np.empty(min(num, len(points)), dtype=np.int64)
    nearest = np.full(len(points), np.inf)  # squared distance to the nearest point that is taken
    for place in range(len(taken)):
        taken[place] = start
        nearest = np.minimum(nearest, np.square(points - points[start]).sum(axis=1))
        nearest[start] = -1.0  # of points in one place, each is taken once
        start = int(nearest.argmax())
    return np.resize(taken, num)


def neighbours_within(
    points: Points, centres: Points, *, radius: float, num: int
) -> Int64[np.ndarray, "centres neighbours"]:
    """For each centre the numbers of the `num` nearest points within a radius of it; where there are fewer, the nearest
    again and again, which leaves a maximum over them what it is. Centres are points themselves, so each has one."""
    # Named one by one, as each is a column of its own then, even if it is the only one.
    nearest = np.arange(1, min(num, len(points)) + 1)
    distances, numbers = map(np.asarray, KDTree(points).query(centres, k=nearest, distance_upper_bound=radius))
    found = np.where(np.isfinite(distances), numbers, numbers[:, :1])
    return np.concatenate([found, np.repeat(found[:, :1], num - found.shape[1], axis=1)], axis=1).astype(np.int64)
