"""Files of points and meshes: every format and quirk is read as it was written, and what is malformed says where."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from weldcache.errors import DecodeError
from weldcache.extract.decode.cloud_files import Mesh, PointRows, read_cloud_file

POINTS = np.array([[0.5, -1.0, 2.25], [3.0, 4.0, -5.5], [1e-3, 0.0, 7.0]])
SQUARE = "0 0 0\n2 0 0\n2 2 0\n0 2 0\n"
WriteFile = Callable[[str, str | bytes], Path]


@pytest.fixture
def written(tmp_path: Path) -> WriteFile:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, values, allow_pickle=False)
    return stream.getvalue()


def pcd(data: str, content: bytes, *, fields: str = "x y z", points: int = 3, size: str = "4 4 4") -> bytes:
    count = " ".join("1" for _ in fields.split())
    head = f"# .PCD v0.7\nVERSION 0.7\nFIELDS {fields}\nSIZE {size}\nTYPE F F F\nCOUNT {count}\nWIDTH {points}\n"
    return f"{head}HEIGHT 1\nVIEWPOINT 0 0 0 1 0 0 0\nPOINTS {points}\nDATA {data}\n".encode() + content


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy(POINTS)),
        ("a.npy", npy(np.asfortranarray(POINTS))),
        ("a.npy", npy(POINTS.astype(">f8"))),
        ("a.txt", "\n".join(" ".join(map(repr, row)) for row in POINTS.tolist())),
        ("a.txt", "# made by nobody\r\n\r\n" + "\r\n".join(",".join(map(repr, row)) for row in POINTS.tolist())),
        ("a.CSV", "x,y,z\n" + "\n".join(",".join(map(repr, row)) for row in POINTS.tolist())),
        ("a.pcd", pcd("ascii", "\n".join(" ".join(map(repr, row)) for row in POINTS.tolist()).encode())),
        ("a.pcd", pcd("binary", POINTS.astype("<f8").tobytes(), size="8 8 8")),
    ],
)
def test_points_are_read_in_every_format(written: WriteFile, name: str, content: str | bytes) -> None:
    path = written(name, content)
    found = read_cloud_file(path)
    assert isinstance(found, PointRows)
    np.testing.assert_array_equal(found.values, POINTS)
    assert found.named(None, path=path).columns == ("x", "y", "z")


def test_rays_that_met_nothing_are_no_points(written: WriteFile) -> None:
    values = np.vstack([POINTS, np.full((1, 3), np.nan)]).astype("<f4")
    found = read_cloud_file(written("a.pcd", pcd("binary", values.tobytes(), points=4)))
    assert isinstance(found, PointRows) and found.values.shape == (3, 3)


def test_columns_are_named_by_the_file_or_else_by_the_settings_or_else_by_their_number(written: WriteFile) -> None:
    path = written("a.npy", npy(np.ones((2, 4), np.float32)))
    found = read_cloud_file(path)
    assert isinstance(found, PointRows)
    assert found.named(None, path=path).columns == ("x", "y", "z", "intensity")
    assert found.named(["x", "y", "z", "label"], path=path).columns == ("x", "y", "z", "label")
    with pytest.raises(DecodeError, match=r"a\.npy.*4 columns.*x and y name 2"):
        found.named(["x", "y"], path=path)
    five = written("b.npy", npy(np.ones((2, 5))))
    unnamed = read_cloud_file(five)
    assert isinstance(unnamed, PointRows)
    with pytest.raises(DecodeError, match=r"5 columns.*nothing names them"):
        unnamed.named(None, path=five)


@pytest.mark.parametrize("glued", ["OFF4 2 0\n", "OFF\n4 2 0\n", "OFF 4 2 0\n", "# cad\nOFF # glass\n\n4 2\n"])
def test_a_mesh_is_read_with_its_quirks(written: WriteFile, glued: str) -> None:
    found = read_cloud_file(written("box.off", f"{glued}{SQUARE}\n# faces\n3 0 1 2\n3 0 2 3  255 0 0\n"))
    assert isinstance(found, Mesh)
    assert found.corners.tolist() == [[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0]]
    assert found.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


def test_a_polygon_becomes_triangles(written: WriteFile) -> None:
    found = read_cloud_file(written("box.off", f"OFF\n4 1 0\n{SQUARE}4 0 1 2 3\n"))
    assert isinstance(found, Mesh) and found.triangles.tolist() == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.ply", "ply", r"a\.ply.*\.off"),
        ("a.npy", npy(POINTS)[:-8], "64 bytes of points, and its header promises 72"),
        ("a.npy", b"\x93NUMPY\x01\x00\x03\x00abc", "no array"),
        ("a.npy", npy(np.ones((2, 2, 2))), "shape"),
        ("a.npy", npy(np.array(["a", "b"])), "U1"),
        ("a.npy", npy(np.empty((0, 3))), "no points"),
        ("a.txt", "1 2 3\n4 5\n", r"a\.txt, line 2: holds 2 numbers"),
        ("a.txt", "1 2 3\n\n4 five 6\n", r"line 3: 'five'"),
        ("a.txt", b"\xff\xfe1\x00", "line 1.*UTF-16"),
        ("a.csv", "x,x,z\n1,2,3\n", "line 1.*x, x and z"),
        ("a.csv", "x,y,z\n", "no points"),
        ("a.off", "", "empty"),
        ("a.off", "solid\n", "line 1.*'solid'"),
        ("a.off", "OFFfour\n", "line 1"),
        ("a.off", f"OFF\n4 3 0\n{SQUARE}3 0 1 2\n3 0 2 3\n", "6 lines.*promises 7"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}3 0 1 4\n", "line 7: there is no corner 4"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}3 0 1\n", "line 7: a face"),
        ("a.off", f"OFF\n4 1 0\n{SQUARE}2 0 1\n", "line 7: a face"),
        ("a.off", "OFF\n1 1 0\n0 nan 0\n3 0 0 0\n", "line 3.*nowhere"),
        ("a.off", f"OFF\n4 0 0\n{SQUARE}", "no faces"),
        ("a.pcd", pcd("binary", b"123"), "3 bytes.*promises 36"),
        ("a.pcd", pcd("binary_compressed", b""), "binary_compressed"),
        ("a.pcd", pcd("ascii", b"1 2 3\n"), "1 point, and its header promises 3"),
        ("a.pcd", b"VERSION 0.7\n", "DATA"),
        ("a.pcd", pcd("ascii", b"", fields="x y"), "FIELDS"),
    ],
)
def test_what_is_malformed_says_where(written: WriteFile, name: str, content: str | bytes, where: str) -> None:
    with pytest.raises(DecodeError, match=where):
        read_cloud_file(written(name, content))
