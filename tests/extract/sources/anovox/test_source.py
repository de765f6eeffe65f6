"""AnoVox as it lies on disk, in both layouts, whole and not."""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.sources.anovox.scenarios import CONFIGURATION, CURRENT, FORMER, find_scenarios
from weldcache.extract.sources.anovox.source import AnoVoxSource
from weldcache.extract.sources.source import Sample
from weldcache.testing.sources import SourceContract

Open = Callable[..., AnoVoxSource]


class TestContract(SourceContract):
    @pytest.fixture(autouse=True)
    def _scenes(self, few: Path, tmp_path: Path, open_scenes: Open) -> None:
        shutil.copytree(few, tmp_path, dirs_exist_ok=True)
        self.open = open_scenes

    def make(self, root: Path) -> AnoVoxSource:
        return self.open(root)


def scenarios_of(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name.startswith("Scenario_") and path.name != CONFIGURATION)


def sensor(scenario: Path, name: str) -> Path:
    (folder,) = (path for path in scenario.iterdir() if path.name.startswith(name))
    return folder


@pytest.mark.parametrize(
    ("folder", "stream"),
    [
        ("LIDAR(0, 0, 1.8)(0, 0, 0)_ab12cd", "points"),
        ("SEMANTIC-LIDAR(0, 0, 1.8)(0, 0, 0)_ab12cd", "semantic_points"),
        ("RGB-CAM(0, 0, 1.8)(0, 0, 0)_0", "image"),
        ("SEMANTIC-CAM(0, 0, 1.8)(0, 0, 0)_0", "semantic_image"),
        ("DEPTH_CAM(0, 0, 1.8)(0, 0, 0)_0", None),
        ("ROUTE_MAP", None),
    ],
)
def test_folders_are_told_by_how_they_begin(folder: str, stream: str | None) -> None:
    assert CURRENT.stream_of(folder) == stream
    assert FORMER.stream_of("PCD") == "points" and FORMER.stream_of("SEMANTIC_PCD") == "semantic_points"


def test_a_frame_is_joined_by_its_tick_across_folders_with_other_hashes(few: Path, open_scenes: Open) -> None:
    samples = open_scenes(few).samples()
    assert len(samples) == 12 and len({sample.group for sample in samples}) == 6
    for sample in samples:
        group, _, tick = sample.key.rpartition("/")
        assert group == sample.group and int(tick) >= 50
        assert {path.stem.rpartition("_")[2] for (path,) in sample.files.values()} == {tick}
    hashes = {sample.files["image"][0].parent.name for sample in samples}
    assert len(hashes) == 6


def test_scenarios_with_and_without_anomalies_are_in_every_part(few: Path, open_scenes: Open) -> None:
    samples = open_scenes(few).samples()
    groups: dict[str, set[tuple[str, bool]]] = {}
    for sample in samples:
        groups.setdefault(sample.group, set()).add((sample.split, sample.targets["label"] == 1))
    assert all(len({split for split, _ in held}) == 1 for held in groups.values())
    assert {sample.split for sample in samples} == {"train", "val", "test"}
    again = open_scenes(few, split_seed=1).samples()
    assert {(a.key, a.split) for a in again} != {(a.key, a.split) for a in samples}


def relabelled(root: Path, number: int) -> Path:
    """Give all that one scenario shows one semantic id, in every picture and every file of points."""
    scenario = scenarios_of(root)[0]
    for path in sensor(scenario, "SEMANTIC-CAM").iterdir():
        cv2.imwrite(str(path), np.full((4, 6), number, np.uint8))
    for folder in (sensor(scenario, "SEMANTIC-LIDAR"), scenario / "VOXEL_GRID"):
        for path in folder.iterdir():
            table = np.load(path, allow_pickle=False)
            table[:, 3] = number
            np.save(path, table)
    return scenario


def samples_in(source: AnoVoxSource, scenario: Path) -> list[Sample]:
    return [sample for sample in source.samples() if sample.group == scenario.name]


@pytest.mark.parametrize(("number", "label", "name"), [(14, 0, "normal"), (18, 0, "normal"), (30, 1, "animal")])
def test_what_a_frame_shows_says_what_it_is(
    copied: Path, open_scenes: Open, number: int, label: int, name: str
) -> None:
    scenario = relabelled(copied, number)
    for sample in samples_in(open_scenes(copied), scenario):
        assert sample.targets["label"] == label and sample.targets["class"] == name
        assert sample.targets["seen_by"] == ("both" if label else "nothing")


def test_what_is_alive_and_not_seen_is_normal(
    copied: Path, open_scenes: Open, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = relabelled(copied, 1)
    (scenario / "ANOMALY").mkdir(exist_ok=True)
    for path in sensor(scenario, "RGB-CAM").iterdir():
        tick = path.stem.rpartition("_")[2]
        (scenario / "ANOMALY" / f"ANOMALY_{tick}.csv").write_text(f"frame_id ; {tick}\nanomaly_is_alive ; True\n")
    samples = samples_in(open_scenes(copied), scenario)
    assert [(sample.targets["label"], sample.targets["alive"]) for sample in samples] == [(0, 1)] * 2
    assert "not to be seen in" in " ".join(capsys.readouterr().err.split())


def test_one_sensor_alone_can_decide(copied: Path, open_scenes: Open) -> None:
    scenario = relabelled(copied, 30)
    for path in sensor(scenario, "SEMANTIC-CAM").iterdir():
        cv2.imwrite(str(path), np.full((4, 6), 1, np.uint8))
    by = {each: samples_in(open_scenes(copied, visible_to=each), scenario)[0] for each in ("any", "camera", "lidar")}
    assert {each: sample.targets["label"] for each, sample in by.items()} == {"any": 1, "camera": 0, "lidar": 1}
    assert by["any"].targets["seen_by"] == "lidar"


def test_where_nothing_says_nothing_is_known(copied: Path, open_scenes: Open) -> None:
    for scenario in scenarios_of(copied):
        for name in ("SEMANTIC-CAM", "SEMANTIC-LIDAR", "VOXEL_GRID"):
            shutil.rmtree(sensor(scenario, name))
    samples = open_scenes(copied).samples()
    assert all("label" not in sample.targets and "class" not in sample.targets for sample in samples)


_PCD = """VERSION 0.7
FIELDS x y z label
SIZE 4 4 4 4
TYPE F F F U
COUNT 1 1 1 1
WIDTH 1
HEIGHT 1
POINTS 1
DATA ascii
1 2 3 {label}
"""


def former(root: Path) -> Path:
    """Two scenarios of the former layout, one below the folder of a release."""
    for scenario, label in (("AnoVox_Static_Mono_Town07/Scenario_a", 1), ("AnoVox_Static_Mono_Town07/Scenario_b", 34)):
        for name, suffix in (("RGB_IMG", "png"), ("SEMANTIC_IMG", "png"), ("PCD", "pcd"), ("SEMANTIC_PCD", "pcd")):
            folder = root / scenario / name
            folder.mkdir(parents=True)
            for tick in (9, 10):
                path = folder / f"{name}_{tick:04d}.{suffix}"
                if suffix == "png":
                    cv2.imwrite(str(path), np.full((4, 6), label, np.uint8))
                else:
                    path.write_text(_PCD.format(label=label))
        (root / scenario / "VOXEL_GRID").mkdir()
        for tick in (9, 10):
            np.save(
                root / scenario / "VOXEL_GRID" / f"VOXEL_GRID_{tick}.npy", np.array([[1, 2, 3, label]], dtype=np.uint16)
            )
    (root / CONFIGURATION).mkdir()
    return root


def test_the_former_layout_is_read_too(tmp_path: Path, open_scenes: Open) -> None:
    samples = open_scenes(former(tmp_path)).samples()
    assert [sample.key for sample in samples] == [
        f"AnoVox_Static_Mono_Town07/Scenario_{name}/{tick}" for name in "ab" for tick in (9, 10)
    ]
    assert [sample.targets["class"] for sample in samples] == ["normal", "normal", "falling", "falling"]
    assert samples[0].files["points"][0].name == "PCD_0009.pcd"


def test_mixed_releases_are_refused(copied: Path, tmp_path: Path) -> None:
    former(tmp_path / "old")
    (tmp_path / "old").rename(copied / "old")
    assert len(find_scenarios(copied, refuse_incomplete=True)) == 6  # two folders further down nobody looks
    (copied / "old" / "AnoVox_Static_Mono_Town07").rename(copied / "AnoVox_Static_Mono_Town07")
    with pytest.raises(SourceError, match="mixes two releases"):
        find_scenarios(copied, refuse_incomplete=True)


def test_a_scenario_of_both_releases_is_refused(copied: Path) -> None:
    (scenarios_of(copied)[0] / "RGB_IMG").mkdir()
    with pytest.raises(SourceError, match="RGB_IMG"):
        find_scenarios(copied, refuse_incomplete=True)


def test_a_copy_that_was_cut_short_is_refused_or_told_frame_by_frame(copied: Path, open_scenes: Open) -> None:
    first, second = scenarios_of(copied)[:2]
    lost = sorted(sensor(first, "LIDAR").iterdir())[0]
    lost.unlink()
    empty = sorted(sensor(second, "RGB-CAM").iterdir())[1]
    empty.write_bytes(b"")
    with pytest.raises(SourceError, match=f"{first.name} lacks points of 1 of 2 frames"):
        open_scenes(copied).samples()
    samples = {sample.key: sample for sample in open_scenes(copied, incomplete="absent").samples()}
    told = Counter(stream for sample in samples.values() for stream in sample.absent)
    assert told == {"points": 1, "image": 1}
    tick = empty.stem.rpartition("_")[2]
    assert "image" not in samples[f"{second.name}/{tick}"].files


def test_scenarios_whose_folders_are_empty_are_named(copied: Path, open_scenes: Open) -> None:
    first, *others = scenarios_of(copied)
    for path in first.rglob("*_*.*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(SourceError, match="has no file of camera or lidar"):
        find_scenarios(copied, refuse_incomplete=True)
    assert {sample.group for sample in open_scenes(copied, incomplete="absent").samples()} == {
        folder.name for folder in others
    }
    for folder in others:
        shutil.rmtree(folder)
    with pytest.raises(SourceError, match="no frame"):
        find_scenarios(copied, refuse_incomplete=False)


def test_an_empty_scenario_is_named(copied: Path) -> None:
    (copied / "Scenario_empty").mkdir()
    with pytest.raises(SourceError, match="Scenario_empty"):
        find_scenarios(copied, refuse_incomplete=True)


def test_other_numbers_of_frames_and_a_missing_setup_are_told(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = scenarios_of(copied)[0]
    tick = sorted(sensor(scenario, "LIDAR").iterdir())[0].stem.rpartition("_")[2]
    for path in list(scenario.rglob(f"*_{tick}.*")):
        path.unlink()
    found = find_scenarios(copied, refuse_incomplete=True)
    told = " ".join(capsys.readouterr().err.split())
    assert f"{scenario.name} has 1" in told and "sensor_setup.json" in told
    assert [each.has_setup for each in found].count(False) == 1


def test_a_tick_that_two_files_have_is_refused(copied: Path) -> None:
    path = sorted(sensor(scenarios_of(copied)[0], "LIDAR").iterdir())[0]
    stem, _, tick = path.stem.rpartition("_")
    shutil.copy(path, path.with_name(f"{stem}_0{tick}.npy"))
    with pytest.raises(SourceError, match=f"frame {tick}"):
        find_scenarios(copied, refuse_incomplete=True)


def test_a_folder_without_scenarios_says_what_one_has(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"RGB-CAM"):
        find_scenarios(tmp_path, refuse_incomplete=True)
