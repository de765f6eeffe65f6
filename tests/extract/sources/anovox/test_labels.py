"""Semantic ids, voxels and sheets against what the simulator's logs say of them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from weldcache.errors import DecodeError, SourceError
from weldcache.extract.sources.anovox.labels import (
    GRID,
    anomalous_among,
    is_alive,
    labels_by_voxel,
    read_sheet,
    semantic_pixels,
    semantic_points,
    voxel_labels,
    voxels_of_points,
)
from weldcache.extract.sources.anovox.settings import ANOMALOUS


def test_points_lie_in_the_voxels_that_were_logged() -> None:
    corners = np.array([[-95.78, -95.48, -3.64], [98.88, 97.98, 25.68]])
    low, high = voxels_of_points(corners).tolist()
    assert low == [308, 309, 21] and high[:2] == [697, 695]


def test_the_sensor_is_in_the_middle_of_the_grid() -> None:
    assert voxels_of_points(np.array([[0.0, 0.0, 1.8], [0.0, 0.0, -1.8]])).tolist() == [[500, 500, 32], [500, 500, 24]]


def test_points_have_the_id_of_their_voxel_and_none_where_the_grid_has_none() -> None:
    points = np.array([[1.2, 2.3, 0.4], [1.3, 2.4, 0.3], [9.0, 9.0, 0.0], [900.0, 0.0, 0.0]])
    voxels = np.array([[*voxels_of_points(points[:1])[0], 30], [3, 4, 5, 1]], dtype=np.uint16)
    assert labels_by_voxel(points, voxels).tolist() == [30, 30, -1, -1]
    assert labels_by_voxel(points, voxels[:0]).tolist() == [-1] * 4


def test_traffic_is_no_anomaly() -> None:
    assert anomalous_among(np.array([14, 15, 16, 17, 18, 30, 30, 100]), tuple(ANOMALOUS)) == {30: 2, 100: 1}
    assert max(GRID) <= 1000


@pytest.mark.parametrize(
    ("written", "alive"), [("True", True), ("true", True), ("'true'", True), ("False", False), ("0", False)]
)
def test_alive_is_read_however_it_is_written(tmp_path: Path, written: str, alive: bool) -> None:
    path = tmp_path / "ANOMALY_7.csv"
    path.write_text(f"frame_id ; 7\r\nanomaly_is_alive ; {written}\r\nlocation ; (1.0, 2.0, 3.0)\r\n")
    sheet = read_sheet(path)
    assert is_alive(sheet) is alive
    assert sheet["frame_id"] == [7] and sheet["location"] == [(1.0, 2.0, 3.0)]


def test_a_sheet_that_does_not_say_is_not_normal(tmp_path: Path) -> None:
    path = tmp_path / "ANOMALY_7.csv"
    path.write_text("frame_id ; 7\nanomaly_is_alive ; (((\n")
    assert is_alive(read_sheet(path)) is None
    path.write_text("frame_id ; 7\nanomaly_id ; falling object\n")
    assert is_alive(read_sheet(path)) is None
    assert read_sheet(path)["anomaly_id"] == ["falling object"]


def test_what_is_no_sheet_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "ANOMALY_7.csv"
    path.write_text("frame_id ; 7\nframe_id,scenario_id\n")
    with pytest.raises(SourceError, match=r"ANOMALY_7\.csv, line 2"):
        read_sheet(path)


def test_points_that_were_cut_short_or_have_no_ids_are_named(tmp_path: Path) -> None:
    whole, cut, other = (tmp_path / name for name in ("whole.npy", "cut.npy", "other.npy"))
    np.save(whole, np.zeros((5, 4)))
    np.save(other, np.zeros((5, 3)))
    cut.write_bytes(whole.read_bytes()[:-9])
    assert semantic_points(whole).shape == (5, 4)
    for path in (cut, other):
        with pytest.raises(DecodeError, match=path.name):
            semantic_points(path)


@pytest.mark.parametrize("wrong", [np.nan, -1.0, 2.5, 1e30])
def test_ids_that_are_none_are_not_normal(wrong: float, tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", np.array([[0.0, 0, 0, 7], [1, 1, 1, wrong]]))
    with pytest.raises(DecodeError, match=r"points\.npy: a semantic id"):
        semantic_points(tmp_path / "points.npy")


@pytest.mark.parametrize("voxel", [(-1, 0, 0), (0, 0, 64)])
def test_a_voxel_outside_the_grid_is_named(voxel: tuple[int, int, int], tmp_path: Path) -> None:
    np.save(tmp_path / "voxels.npy", np.array([[*voxel, 7]]))
    with pytest.raises(DecodeError, match=r"voxels\.npy: has a voxel outside"):
        voxel_labels(np.zeros((2, 3)), tmp_path / "voxels.npy")


def test_ids_in_a_pcd_are_in_the_column_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.pcd"
    header = "VERSION 0.7\nFIELDS x y z label tag\nSIZE 4 4 4 4 4\nTYPE F F F U U\nCOUNT 1 1 1 1 1\n"
    path.write_text(f"{header}WIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA ascii\n1 2 3 30 7\n4 5 6 1 8\n")
    assert semantic_points(path).tolist() == [[1, 2, 3, 30], [4, 5, 6, 1]]


def test_a_picture_of_colours_is_no_picture_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.png"
    cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(SourceError, match=r"ids\.png"):
        semantic_pixels(path)
