"""Synthetic scenes: both sensors see the same things, equal plans make equal data, mistakes are those asked for."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import OutputExistsError, SettingsError
from weldcache.extract.sources.anovox.labels import labels_by_voxel
from weldcache.extract.sources.anovox.settings import ANOMALOUS
from weldcache.extract.sources.anovox.source import AnoVoxSource
from weldcache.extract.sources.anovox.synth.cast import cast
from weldcache.extract.sources.anovox.synth.pipeline import SceneGenerator
from weldcache.extract.sources.anovox.synth.plan import (
    ALL_POSITIVE,
    BACKGROUND,
    COIN_FLIPS,
    TWICE,
    list_scenarios,
    plan_for_size,
)
from weldcache.extract.sources.anovox.synth.street import CAR, ROAD, SIDEWALK, SKY, TERRAIN, Boxes

from .conftest import few_scenes

IDS = list(ANOMALOUS)
Open = Callable[..., AnoVoxSource]


def test_rays_meet_what_is_nearest() -> None:
    boxes = Boxes(
        np.array([[5.0, -1, -1.8], [9.0, -1, -1.8]]),
        np.array([[6.0, 1, 1], [10.0, 1, 9]]),
        np.full((2, 3), 0.5),
        np.array([0.2, 0.9]),
        np.array([CAR, 30]),
        np.array([0, 1]),
    )
    rays = np.array([[1.0, 0, 0], [1.0, 0, 0.5], [1.0, 0, -0.9], [1.0, 1, 0.2]])
    hits = cast(rays, boxes, along=0.0, across=0.0)
    assert hits.ids.tolist() == [CAR, 30, ROAD, SKY] and hits.things.tolist() == [0, 1, -1, -1]
    assert hits.distance[:3] == pytest.approx([5, 9 * np.sqrt(1.25), 2 * np.sqrt(1.81)])
    assert np.isinf(hits.distance[3])


def test_points_lie_where_the_camera_sees_the_same_thing(few: Path) -> None:
    agree = []
    for path in sorted(few.glob("Scenario_*/SEMANTIC-LIDAR*/*.npy")):
        tick = path.stem.rpartition("_")[2]
        points = np.load(path, allow_pickle=False)
        (picture,) = path.parents[1].glob(f"SEMANTIC-CAM*/*_{tick}.png")
        ids = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
        height, width = ids.shape
        points = points[points[:, 0] > 1]
        u = np.floor(width / 2 * (1 - points[:, 1] / points[:, 0])).astype(int)
        v = np.floor(height / 2 - width / 2 * points[:, 2] / points[:, 0]).astype(int)
        inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
        agree.append(ids[v[inside], u[inside]] == points[inside, 3])
    assert np.concatenate(agree).mean() > 0.85  # but for the edges of pixels that are this large


def test_no_ray_misses_a_box_that_it_meets() -> None:
    drawn = np.random.default_rng(0)
    low = drawn.uniform((-20, -20, -1.8), (20, 20, 3), size=(40, 3))
    low = low[np.abs(low[:, :2]).max(axis=1) > 6]  # not around the sensor
    high, num = low + drawn.uniform(0.1, 5, size=low.shape), len(low)
    boxes = Boxes(low, high, np.zeros((num, 3)), np.zeros(num), np.full(num, CAR), np.arange(num))
    rays = drawn.normal(size=(400, 3))
    hits = cast(rays, boxes, along=0.0, across=0.0)
    faces = np.stack([low, high]) / rays[:, np.newaxis, np.newaxis]  # ray, face, box, axis
    entered, left = faces.min(axis=1).max(axis=-1), faces.max(axis=1).min(axis=-1)
    distances = np.where((entered < left) & (entered > 0), entered, np.inf)
    ground = np.where(rays[:, 2] < 0, -1.8 / rays[:, 2], np.inf)
    expected = np.minimum(distances.min(axis=1), ground)
    on_box = distances.min(axis=1) < ground
    assert hits.distance == pytest.approx(expected * np.linalg.norm(rays, axis=1))
    assert on_box.sum() > 50 and (hits.things == np.where(on_box, distances.argmin(axis=1), -1)).all()


def picture_of(scenario: Path, sensor: str, tick: str) -> np.ndarray:
    (path,) = scenario.glob(f"{sensor}*/*_{tick}.png")
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert picture is not None
    return picture.astype(np.int64)


def test_depths_instances_and_routes_are_of_what_the_camera_sees(few: Path) -> None:
    for path in few.glob("Scenario_*/SEMANTIC-CAM*/*.png"):
        scenario, tick = path.parents[1], path.stem.rpartition("_")[2]
        ids = picture_of(scenario, "SEMANTIC-CAM", tick)
        blue, green, red = np.moveaxis(picture_of(scenario, "DEPTH_CAM", tick), -1, 0)
        depth = (red + 256 * green + 65536 * blue) / (2**24 - 1) * 1000
        assert (depth[ids == SKY] == 1000).all() and (depth[ids != SKY] < 400).all()
        height, width = ids.shape
        rows = np.arange(height)[:, np.newaxis] + 0.5 - height / 2
        on_road = ids == ROAD
        assert depth[on_road] == pytest.approx(np.broadcast_to(1.8 * width / 2 / rows, ids.shape)[on_road], abs=1e-3)
        blue, green, red = np.moveaxis(picture_of(scenario, "INSTANCE-CAM", tick), -1, 0)
        is_strange = np.isin(ids, IDS)
        assert (red[~is_strange] == ids[~is_strange]).all() and not np.isin(red, IDS).any()
        things = green + 256 * blue
        assert all(len(np.unique(ids[things == number])) == 1 for number in np.unique(things[things > 0]))
        assert np.isin(ids[things == 0], (ROAD, SIDEWALK, TERRAIN, SKY)).all() and (things[is_strange] > 0).all()
        assert picture_of(scenario, "ROUTE_MAP", tick).ndim == 3


def test_voxels_hold_the_ids_of_both_lidars(few: Path) -> None:
    for path in few.glob("Scenario_*/SEMANTIC-LIDAR*/*.npy"):
        points = np.load(path, allow_pickle=False)
        voxels = np.load(path.parents[1] / "VOXEL_GRID" / f"VOXEL_GRID_{path.stem.rpartition('_')[2]}.npy")
        assert points.dtype == np.float64 and voxels.dtype == np.uint16
        labels = labels_by_voxel(points[:, :3], voxels)
        assert (labels >= 0).all()
        assert np.isin(labels[np.isin(points[:, 3], IDS)], IDS).all()


def _digest(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.name != "synth.json"
    }


def test_an_interrupted_run_is_finished_to_the_same_bytes(few: Path, tmp_path: Path) -> None:
    root, generator = tmp_path / "again", SceneGenerator()
    generator.generate(root, plan=few_scenes(), workers=2, preset=None)
    lost = next(path for path in root.iterdir() if path.name.startswith("Scenario_") and "-" in path.name)
    lost.rename(tmp_path / "lost")
    assert "Wrote 1 scenario " in generator.generate(root, plan=few_scenes(), workers=1, preset=None).told
    assert _digest(root) == _digest(few)
    with pytest.raises(OutputExistsError):
        generator.generate(root, plan=few_scenes(COIN_FLIPS), workers=1, preset=None)


def test_mistakes_are_those_asked_for(tmp_path: Path, open_scenes: Open) -> None:
    streets = {(each.street, each.has_anomaly) for each in list_scenarios(few_scenes(BACKGROUND))}
    assert len(streets) == 3 and len({has for _, has in streets}) == 2
    assert all(each.has_anomaly for each in list_scenarios(few_scenes(ALL_POSITIVE)))
    twins = list_scenarios(few_scenes(TWICE))
    assert len(twins) == 12 and len({each.index for each in twins}) == 6 and len({each.name for each in twins}) == 12
    with pytest.raises(SettingsError, match="coin-flip-labels"):
        plan_for_size("tiny", seed=0, plant=("coin-flip-label",))


def test_coins_tell_labels_and_change_nothing_that_is_seen(few: Path, tmp_path: Path, open_scenes: Open) -> None:
    SceneGenerator().generate(tmp_path / "coins", plan=few_scenes(COIN_FLIPS), workers=1, preset=None)
    before, after = open_scenes(few).samples(), open_scenes(tmp_path / "coins").samples()
    assert [sample.key for sample in before] == [sample.key for sample in after]
    assert [sample.targets["label"] for sample in before] != [sample.targets["label"] for sample in after]
    for one, other in zip(before, after, strict=True):
        for stream in ("image", "points"):
            assert one.files[stream][0].read_bytes() == other.files[stream][0].read_bytes()
