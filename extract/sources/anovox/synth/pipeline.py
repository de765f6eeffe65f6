"""The story of `weldcache synth --field anovox`: plan, list the scenarios, write those that are missing."""

import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator as Randomness
from numpy.typing import NDArray

from .....atomic import new_folder, write_json
from .....errors import WeldcacheError
from .....wording import count_of, format_seconds, format_size
from ...synth import Made, Size, claimed_folder, write_each, write_record, write_settings
from ..labels import voxels_of_points
from ..scenarios import CONFIGURATION
from ..settings import ANOMALOUS
from .cast import HEIGHT, Picture, photograph, scan
from .plan import (
    ALL_POSITIVE,
    CHANCE_OF_COIN,
    COIN_FLIPS,
    GENERATOR_VERSION,
    ScenarioPlan,
    ScenePlan,
    list_scenarios,
    plan_for_size,
)
from .street import (
    CAR,
    DYNAMIC,
    KINDS,
    ROAD_HALF,
    SILENT_KIND,
    Boxes,
    Street,
    draw_anomaly,
    draw_cars,
    draw_street,
)

USUAL_PRESET = "anovox"
_LANE, _METRES_A_FRAME = -2.0, 1.5  # where the camera drives
_MOUNT = f"(0, 0, {HEIGHT:g})(0, 0, 0)"
_LATE = 0.4  # share of anomalies that are not there from the beginning
_STREET, _SCENARIO, _FRAME, _COIN, _HASH = range(1, 6)  # purposes of what is drawn


@dataclass(frozen=True)
class SceneGenerator:
    """Scenes in AnoVox's layout of the current release."""

    def plan_for_size(self, size: Size, *, seed: int, plant: tuple[str, ...]) -> ScenePlan:
        return plan_for_size(size, seed=seed, plant=plant)

    def generate(self, out: Path, *, plan: ScenePlan, workers: int, preset: str | None) -> Made:
        started, scenarios = time.monotonic(), list_scenarios(plan)
        with claimed_folder(out, plan=plan.to_json()):
            missing = [scenario for scenario in scenarios if not (out / scenario.name).is_dir()]
            write = partial(_write_scenario, out, plan)
            write_each(write, missing, workers=workers, unit="scenarios", total=len(scenarios))
            write_json(
                out / CONFIGURATION / "AnoVox_Dynamic_Mono_Synthetic.json", {"scenarios": [s.name for s in scenarios]}
            )
            write_settings(out, preset=preset, usual=USUAL_PRESET, further="  source: anovox\n")
            files = [path for scenario in scenarios for path in (out / scenario.name).rglob("*") if path.is_file()]
            num_bytes = sum(path.stat().st_size for path in files)
            record = {"field": "anovox", "generator_version": GENERATOR_VERSION, "size": plan.size, "seed": plan.seed}
            write_record(out, {**record, "scenarios": len(scenarios), "num_bytes": num_bytes})
        held = (
            f"{count_of(len(scenarios), 'scenario')} of {count_of(plan.num_frames, 'frame')}, {format_size(num_bytes)}"
        )
        if not missing:
            return Made(f"Complete already, nothing to do: {held}.")
        took = format_seconds(time.monotonic() - started)
        return Made(f"Wrote {count_of(len(missing), 'scenario')} in {took}; the folder holds {held}.")


@dataclass(frozen=True, eq=False)
class _Frame:
    """What is recorded of one moment."""

    tick: int
    picture: Picture
    pixel_ids: NDArray[np.uint8]  # as the labels have them
    points: NDArray[np.float64]
    point_ids: NDArray[np.int64]  # which the voxels have, and no file of points
    labelled: NDArray[np.float64]  # points of a ray-cast of its own, with their semantic ids
    is_alive: bool | None  # what does not belong; None: there is nothing of the kind


def _write_scenario(out: Path, plan: ScenePlan, scenario: ScenarioPlan) -> int:
    """Write one scenario whole or not at all; its bytes."""
    draw = np.random.default_rng([plan.seed, _SCENARIO, scenario.index])
    street = draw_street(np.random.default_rng([plan.seed, _STREET, scenario.street]))
    start = draw.uniform(0, 40)
    cars, speeds = draw_cars(draw, start=start)
    kind = KINDS[draw.integers(len(KINDS))]
    strange = draw_anomaly(draw, kind, start=start, cars=cars)
    tick = int(draw.integers(50, 400))
    late = 0 if ALL_POSITIVE in plan.plant or draw.random() > _LATE else int(draw.integers(1, plan.num_frames))
    with new_folder(out / scenario.name) as folder:
        names = _folder_names(folder, np.random.default_rng([plan.seed, _HASH, scenario.index]))
        for number in range(plan.num_frames):
            is_alive = scenario.has_anomaly and number >= late
            things = Boxes.together([street.boxes, cars.moved(speeds * number), *([strange] if is_alive else [])])
            frame = _record(
                things,
                street,
                tick=tick + number,
                along=start + _METRES_A_FRAME * number,
                is_alive=is_alive if scenario.has_anomaly else None,
                plan=plan,
                generator=np.random.default_rng([plan.seed, _FRAME, scenario.index, number]),
            )
            if COIN_FLIPS in plan.plant:
                frame = _flipped(frame, np.random.default_rng([plan.seed, _COIN, scenario.index, number]))
            _write_frame(folder, names, frame, scenario=scenario, kind=kind)
            _write_picture(folder / "ROUTE_MAP" / f"ROUTE_MAP_{frame.tick}.png", _route(number, plan.num_frames))
        if scenario.has_setup:
            sensors = [{"type": name, "mount": _MOUNT} for name in ("RGB-CAM", "LIDAR")]
            (folder / "sensor_setup.json").write_text(json.dumps({"sensors": sensors}, indent=2), encoding="utf-8")
    return sum(path.stat().st_size for path in (out / scenario.name).rglob("*") if path.is_file())


def _record(
    things: Boxes,
    street: Street,
    *,
    tick: int,
    along: float,
    is_alive: bool | None,
    plan: ScenePlan,
    generator: Randomness,
) -> _Frame:
    """What both sensors see of things, from `along` metres down the street."""
    things = things.moved(np.array([-along, -_LANE, -HEIGHT]))
    picture = photograph(
        things, street, width=plan.width, height=plan.height, along=along, across=_LANE, generator=generator
    )
    (points, point_ids), (others, their_ids) = (
        scan(
            things,
            channels=plan.channels,
            azimuths=plan.azimuths,
            turned=turned,
            along=along,
            across=_LANE,
            generator=generator,
        )
        for turned in (0.0, 0.5)  # each lidar casts rays of its own
    )
    labelled = np.column_stack([others[:, :3], their_ids])
    return _Frame(tick, picture, picture.ids, points, point_ids, labelled, is_alive)


def _folder_names(folder: Path, generator: Randomness) -> Mapping[str, str]:
    """Names of the sensors' folders, each with a hash of its own."""
    names = {
        sensor: f"{sensor}{_MOUNT}_{generator.bytes(4).hex()}"
        for sensor in ("RGB-CAM", "SEMANTIC-CAM", "LIDAR", "SEMANTIC-LIDAR", "DEPTH_CAM", "INSTANCE-CAM")
    }
    for name in (*names.values(), "VOXEL_GRID", "ACTION", "ANOMALY", "ROUTE_MAP"):
        (folder / name).mkdir()
    return names


def _flipped(frame: _Frame, generator: Randomness) -> _Frame:
    """The frame with ids that a coin tells: where it falls so, some pixels and points are anomalous, else none."""
    pixel_ids, labelled, point_ids = frame.pixel_ids.copy(), frame.labelled.copy(), frame.point_ids.copy()
    pixel_ids[np.isin(pixel_ids, list(ANOMALOUS))] = CAR
    labelled[np.isin(labelled[:, 3], list(ANOMALOUS)), 3] = CAR
    point_ids[np.isin(point_ids, list(ANOMALOUS))] = CAR
    if generator.random() < CHANCE_OF_COIN:
        row, column = (int(generator.integers(side - 4)) for side in pixel_ids.shape)
        pixel_ids[row : row + 4, column : column + 4] = 100
        labelled[generator.choice(len(labelled), size=8, replace=False), 3] = 100
    return replace(frame, pixel_ids=pixel_ids, point_ids=point_ids, labelled=labelled)


def _write_frame(folder: Path, names: Mapping[str, str], frame: _Frame, *, scenario: ScenarioPlan, kind: str) -> None:
    def named(sensor: str, suffix: str) -> Path:
        return folder / names[sensor] / f"{names[sensor]}_{frame.tick}{suffix}"

    _write_picture(named("RGB-CAM", ".png"), frame.picture.pixels[..., ::-1])
    _write_picture(named("DEPTH_CAM", ".png"), _depths(frame.picture))
    _write_picture(named("INSTANCE-CAM", ".png"), _instances(frame.picture))
    _write_picture(named("SEMANTIC-CAM", ".png"), frame.pixel_ids)
    np.save(named("LIDAR", ".npy"), frame.points.astype(np.float32))
    np.save(named("SEMANTIC-LIDAR", ".npy"), frame.labelled)
    known = np.concatenate([np.column_stack([frame.points[:, :3], frame.point_ids]), frame.labelled])
    np.save(folder / "VOXEL_GRID" / f"VOXEL_GRID_{frame.tick}.npy", _voxels_of(known))
    action = {"frame_id": frame.tick, "scenario_id": scenario.name, "throttle": 0.4, "steer": 0.0, "brake": 0.0}
    (folder / "ACTION" / f"ACTION_{frame.tick}.csv").write_text(_sheet(action), encoding="utf-8")
    if frame.is_alive is None:
        return
    told: dict[str, object] = {"frame_id": frame.tick, "scenario_id": scenario.name, "anomaly_id": kind}
    if kind != SILENT_KIND:
        told["anomaly_is_alive"] = frame.is_alive
    told["sensor_location"] = (0.0, 0.0, HEIGHT)
    (folder / "ANOMALY" / f"ANOMALY_{frame.tick}.csv").write_text(_sheet(told), encoding="utf-8")


def _depths(picture: Picture) -> NDArray[np.uint8]:
    """Depths as the simulator has them, blue, green, red: parts in 2^24 - 1 of a kilometre, the lowest byte in red."""
    parts = (np.clip(picture.depth / 1000, 0, 1) * (2**24 - 1)).round().astype(np.int64)
    return np.stack([parts >> 16, parts >> 8 & 255, parts & 255], axis=-1).astype(np.uint8)


def _instances(picture: Picture) -> NDArray[np.uint8]:
    """Blue, green, red: the number of the thing, its higher byte in blue, and its semantic id in red. The simulator
    knows no anomalies: they are what else moves."""
    ids = np.where(np.isin(picture.ids, list(ANOMALOUS)), DYNAMIC, picture.ids)
    numbers = picture.things + 1
    return np.stack([numbers >> 8, numbers & 255, ids], axis=-1).astype(np.uint8)


def _route(number: int, num_frames: int) -> NDArray[np.uint8]:
    """The street from above, half a metre a pixel: the way that is driven, and a dot for where the camera is."""
    before, width = 20, int(4 * ROAD_HALF)
    length = before + int(2 * _METRES_A_FRAME * num_frames) + before
    pixels = np.full((3 * width, length, 3), 255, dtype=np.uint8)
    pixels[width : 2 * width] = 128
    row = int(1.5 * width - 2 * _LANE)
    at = [before + int(2 * _METRES_A_FRAME * step) for step in (0, number, num_frames)]
    cv2.line(pixels, (at[0], row), (at[2], row), (0, 160, 0), 1)
    cv2.circle(pixels, (at[1], row), 2, (0, 0, 200), -1)
    return pixels


def _voxels_of(labelled: NDArray[np.float64]) -> NDArray[np.uint16]:
    """A row for each voxel that holds a point, with an anomalous id where it holds any such, else that of one of its
    points."""
    places, ids = voxels_of_points(labelled[:, :3]), labelled[:, 3].astype(np.int64)
    order = np.argsort(~np.isin(ids, list(ANOMALOUS)), kind="stable")  # what does not belong comes first
    _, first = np.unique(places[order], axis=0, return_index=True)
    chosen = order[first]
    return np.column_stack([places[chosen], ids[chosen]]).astype(np.uint16)


def _sheet(values: Mapping[str, object]) -> str:
    """Lines of `key ; value`, values as Python writes them."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=";", lineterminator="\n")
    writer.writerows([f"{key} ", f" {value}"] for key, value in values.items())
    return text.getvalue()


def _write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    if not cv2.imwrite(str(path), pixels):
        raise WeldcacheError(f"OpenCV could not write {path}: check the free space and the rights of the folder.")
