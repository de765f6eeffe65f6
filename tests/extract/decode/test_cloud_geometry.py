"""Geometry of clouds against slow references and what is known of simple shapes."""

import numpy as np
import pytest

from weldcache.extract.decode.cloud_geometry import (
    farthest_points,
    in_unit_sphere,
    neighbours_within,
    points_on_surface,
    turned,
)


@pytest.fixture
def cloud() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(60, 3))


def test_points_on_a_surface_are_as_frequent_as_it_is_large() -> None:
    corners = np.array([[0.0, 0, 0], [3, 0, 0], [0, 3, 0], [0, 0, 5], [1, 0, 5], [0, 1, 5]])
    triangles = np.array([[0, 1, 2], [3, 5, 4], [0, 0, 1]])  # areas 4.5 and 0.5, the second upside down, and none
    places, normals, chosen = points_on_surface(corners, triangles, num_points=4000, generator=np.random.default_rng(0))
    assert np.bincount(chosen, minlength=3) / 4000 == pytest.approx([0.9, 0.1, 0], abs=0.02)
    np.testing.assert_allclose(normals, np.where(chosen[:, None] == 0, [[0, 0, 1]], [[0, 0, -1]]))
    large = places[chosen == 0]
    assert (large[:, :2] >= 0).all() and (large[:, :2].sum(axis=1) <= 3).all() and not large[:, 2].any()
    np.testing.assert_allclose(large.mean(axis=0), [1, 1, 0], atol=0.05)  # the centroid
    with pytest.raises(ValueError, match="no area"):
        points_on_surface(corners, triangles[2:], num_points=1, generator=np.random.default_rng(0))


def test_a_quarter_turn_about_the_vertical() -> None:
    vectors = np.array([[1.0, 0, 0], [0, 1, 2]])
    np.testing.assert_allclose(turned(vectors, (0.0, 0.0, 90.0)), [[0, 1, 0], [-1, 0, 2]], atol=1e-12)
    np.testing.assert_allclose(turned(vectors, (90.0, 0.0, 0.0)), [[1, 0, 0], [0, -2, 1]], atol=1e-12)
    assert turned(vectors, (0.0, 0.0, 0.0)) is vectors


def test_a_cloud_in_the_unit_sphere(cloud: np.ndarray) -> None:
    found = in_unit_sphere(7 * cloud + 3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-12)
    assert np.linalg.norm(found, axis=1).max() == pytest.approx(1)
    assert not in_unit_sphere(np.ones((4, 3))).any()


def test_farthest_points_by_their_definition(cloud: np.ndarray) -> None:
    order = farthest_points(cloud, 20)
    assert order[0] == np.linalg.norm(cloud - cloud.mean(axis=0), axis=1).argmax()
    for place in range(1, 20):
        gaps = np.linalg.norm(cloud[:, None] - cloud[order[:place]], axis=2).min(axis=1)
        assert order[place] == gaps.argmax()
    assert farthest_points(cloud, 7).tolist() == order[:7].tolist()


def test_of_too_few_points_all_are_taken_again() -> None:
    same = np.zeros((3, 3))
    assert sorted(farthest_points(same, 3).tolist()) == [0, 1, 2]
    order = farthest_points(same, 8).tolist()
    assert order == [*order[:3], *order[:3], *order[:2]]


def test_neighbours_are_the_nearest_within_the_radius(cloud: np.ndarray) -> None:
    centres = cloud[:9]
    found = neighbours_within(cloud, centres, radius=0.9, num=6)
    for centre, neighbours in zip(centres, found, strict=True):
        distances = np.linalg.norm(cloud - centre, axis=1)
        near = [place for place in np.argsort(distances) if distances[place] < 0.9][:6]
        assert neighbours.tolist() == [*near, *[near[0]] * (6 - len(near))]
    assert found.shape == (9, 6) and (found[:, 0] == np.arange(9)).all()
    assert neighbours_within(cloud[:2], cloud[:2], radius=1e-9, num=4).tolist() == [[0] * 4, [1] * 4]
