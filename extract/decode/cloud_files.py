"""Files of points: NumPy arrays, rows of text, PCD clouds, and OFF meshes, each read strictly.

.npy              (points, columns) of numbers, or (points,) for one number a point
.txt .xyz .csv    a point a line, numbers with commas or blanks between them; a first line may name the columns
.pcd              Point Cloud Data 0.7, ascii or binary, whose columns have names
.off              a mesh of polygons; real ones have `OFF` glued to the counts, comments and blank lines

Whatever a file says is checked before memory is asked for: a header may promise more than the file has.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ...documents import decoded
from ...errors import DecodeError
from ...wording import brief, count_of, listed
from ..sources.listing import CLOUD_FORMATS
from .media import read_content

_WHAT = "cloud"
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?|[-+]?(?:nan|inf)", re.IGNORECASE)
_BETWEEN = re.compile(r"[,;\s]+")
# What the columns of files that do not name them are usually taken for, by how many there are.
_USUAL_COLUMNS: Mapping[int, tuple[str, ...]] = {
    3: ("x", "y", "z"),
    4: ("x", "y", "z", "intensity"),
    6: ("x", "y", "z", "nx", "ny", "nz"),
}
_PCD_TYPES: Mapping[tuple[str, str], str] = {
    **{("F", size): f"<f{size}" for size in ("4", "8")},
    **{("I", size): f"<i{size}" for size in ("1", "2", "4", "8")},
    **{("U", size): f"<u{size}" for size in ("1", "2", "4", "8")},
}

_NPY_MAGIC = b"\x93NUMPY"  # then two bytes of version, the length of the header, and the header as a dict of Python
_NPY_HEADER = re.compile(
    r"\{\s*'descr':\s*'(?P<dtype>[<>|=]?[a-zA-Z][0-9]+)',\s*'fortran_order':\s*(?P<order>True|False),\s*"
    r"'shape':\s*\((?P<shape>[0-9, ]*)\),?\s*\}"
)

_Lines = Iterator[tuple[int, str]]


@dataclass(frozen=True, eq=False)
class PointRows:
    """Points as a file has them, in its order.

    Attributes:
        values: one row a point; NaN and infinity are as the file has them.
        columns: their names, None where the file does not say them.
    """

    values: Float64[np.ndarray, "points columns"]
    columns: tuple[str, ...] | None

    def named(self, names: Sequence[str] | None, *, path: Path) -> "PointRows":
        """The same with the names of the file, or else `names`, or else those that so many columns usually have.

        Raises:
            DecodeError: if the columns have no names, or another number of them.
        """
        if self.columns is not None:
            return self
        num = self.values.shape[1]
        found = tuple(names) if names is not None else _USUAL_COLUMNS.get(num, ())
        if len(found) != num:
            told = f"{listed(found)} name {len(found)} of them" if found else "nothing names them"
            raise DecodeError(f"{path}: points have {count_of(num, 'column')}, and {told}; name each in `columns`.")
        return PointRows(self.values, found)


@dataclass(frozen=True, eq=False)
class Mesh:
    """A surface of triangles, by the numbers of their corners."""

    corners: Float64[np.ndarray, "corners 3"]
    triangles: Int64[np.ndarray, "triangles 3"]


def read_cloud_file(path: Path) -> PointRows | Mesh:
    """Read a file of points, or of a mesh, by the ending of its name.

    Raises:
        DecodeError: if it is of another format, damaged, or holds no point; the message says where.
    """
    ending = path.suffix.lower()
    if ending not in CLOUD_FORMATS:
        raise DecodeError(f"{path}: a file of points is one of {listed(CLOUD_FORMATS, last='or')}.")
    read: Mapping[str, Callable[[Path, bytes], PointRows | Mesh]] = {".npy": _npy, ".pcd": _pcd, ".off": _off}
    found = read.get(ending, _text)(path, read_content(path, what=_WHAT))
    if isinstance(found, PointRows) and not len(found.values):
        raise DecodeError(f"{path}: the cloud has no points.")
    return found


def _npy(path: Path, content: bytes) -> PointRows:
    """NumPy reads the header of its files with `ast`, by which threads of CPython 3.11 trip each other up."""
    size = struct.Struct("<H" if content[6:7] == b"\x01" else "<I")
    start = len(_NPY_MAGIC) + 2 + size.size
    if not content.startswith(_NPY_MAGIC) or len(content) < start:
        raise DecodeError(f"{path}: is no array of NumPy.")
    end = start + size.unpack_from(content, start - size.size)[0]
    header = _NPY_HEADER.fullmatch(content[start:end].decode("latin-1").strip())
    if header is None:
        raise DecodeError(f"{path}: is no array of NumPy, as its header says none.")
    try:
        dtype = np.dtype(header["dtype"])
    except (TypeError, ValueError) as error:
        raise DecodeError(f"{path}: is no array of NumPy ({error}).") from None
    shape = tuple(int(number) for number in re.findall(r"\d+", header["shape"]))
    if dtype.kind not in "fiu" or len(shape) not in (1, 2):
        raise DecodeError(f"{path}: holds {dtype} of shape {shape}; points are numbers in rows, (points, columns).")
    promised, there = math.prod(shape) * dtype.itemsize, len(content) - end
    if promised != there:
        raise DecodeError(f"{path}: holds {there:,} bytes of points, and its header promises {promised:,}.")
    values = np.frombuffer(content, dtype, offset=end).reshape(shape, order="F" if header["order"] == "True" else "C")
    return PointRows((values if values.ndim == 2 else values[:, np.newaxis]).astype(np.float64), None)


def _text(path: Path, content: bytes) -> PointRows:
    lines = list(_lines(path, content))
    columns = None
    if lines and not all(map(_NUMBER.fullmatch, _fields(lines[0][1]))):
        columns = tuple(_fields(lines[0][1]))
        lines = lines[1:]
        if len(set(columns)) < len(columns):
            raise DecodeError(f"{path}, line 1: two columns have one name ({listed(columns)}).")
    return PointRows(_matrix(path, lines, width=None if columns is None else len(columns)), columns)


def _pcd(path: Path, content: bytes) -> PointRows:
    head: dict[str, list[str]] = {}
    start = number = 0
    while "DATA" not in head:
        end = content.find(b"\n", start)
        if end < 0 or number > 100:
            raise DecodeError(f"{path}: the header of a .pcd ends with a line `DATA ascii` or `DATA binary`.")
        line, start, number = content[start:end].decode("ascii", "replace").strip(), end + 1, number + 1
        if line and not line.startswith("#"):
            name, *entries = line.split()
            head[name.upper()] = entries
    names = tuple(head.get("FIELDS", ()))
    counts = head.get("COUNT", ["1"] * len(names))
    types = [_PCD_TYPES.get(each) for each in zip(head.get("TYPE", ()), head.get("SIZE", ()), strict=False)]
    num_points = head.get("POINTS", [""])[0]
    if not names or None in types or not len(types) == len(names) == len(counts) or not num_points.isdecimal():
        raise DecodeError(f"{path}: its header needs FIELDS, SIZE, TYPE and COUNT of each, and POINTS.")
    if any(count != "1" for count in counts):
        raise DecodeError(f"{path}: COUNT is {' '.join(counts)}; fields of several numbers are not read.")
    columns, data, promised = tuple(name.lower() for name in names), head["DATA"][:1], int(num_points)
    if data == ["ascii"]:
        rows = [(line + number, text) for line, text in _lines(path, content[start:])]
        values = _matrix(path, rows, width=len(columns))
        if len(values) != promised:
            raise DecodeError(f"{path}: holds {count_of(len(values), 'point')}, and its header promises {promised:,}.")
    elif data == ["binary"]:
        dtype = np.dtype([(str(place), kind) for place, kind in enumerate(types)])
        there = len(content) - start
        if there != promised * dtype.itemsize:
            raise DecodeError(
                f"{path}: holds {there:,} bytes of points, and its header promises {promised * dtype.itemsize:,}."
            )
        records = np.frombuffer(content, dtype, offset=start)
        values = np.stack([records[str(place)].astype(np.float64) for place in range(len(columns))], axis=1)
    else:
        raise DecodeError(f"{path}: DATA is {' '.join(data) or 'nothing'}; only ascii and binary are read.")
    # An organised cloud has a point for every ray; those that met nothing are NaN.
    places = [columns.index(axis) for axis in ("x", "y", "z") if axis in columns]
    met = ~np.isnan(values[:, places]).all(axis=1) if places else np.ones(len(values), dtype=bool)
    return PointRows(values[met], columns)


def _off(path: Path, content: bytes) -> Mesh:
    lines = _lines(path, content)
    number, first = next(lines, (1, ""))
    if not first.upper().startswith("OFF"):
        raise DecodeError(f"{path}, line {number}: a mesh begins with OFF, and this with {brief(first[:20])}.")
    if not (counts := first[3:].split()):
        number, counts = next(((at, text.split()) for at, text in lines), (number, []))
    if len(counts) < 2 or not all(map(str.isdecimal, counts)):
        raise DecodeError(f"{path}, line {number}: OFF is followed by the numbers of corners, faces and edges.")
    num_corners, num_faces = int(counts[0]), int(counts[1])
    rest = list(lines)
    if len(rest) < num_corners + num_faces:
        raise DecodeError(
            f"{path}: holds {count_of(len(rest), 'line')} of corners and faces, and its header promises "
            f"{num_corners + num_faces:,}: the file is cut, or two were mixed."
        )
    corners = _matrix(path, rest[:num_corners], width=None)
    if num_corners and corners.shape[1] < 3:
        raise DecodeError(f"{path}, line {rest[0][0]}: a corner has three numbers.")
    triangles: list[tuple[int, int, int]] = []
    for line, text in rest[num_corners : num_corners + num_faces]:
        fields = text.split()
        num = int(fields[0]) if fields[0].isdecimal() else 0
        told = fields[1 : num + 1]  # a colour may stand behind
        if num < 3 or len(told) < num or not all(map(str.isdecimal, told)):
            raise DecodeError(f"{path}, line {line}: a face is the number of its corners, and then each corner's.")
        face = list(map(int, told))
        if max(face) >= num_corners:
            raise DecodeError(f"{path}, line {line}: there is no corner {max(face)}, they are 0 to {num_corners - 1}.")
        triangles += [(face[0], face[place], face[place + 1]) for place in range(1, num - 1)]
    if not triangles:
        raise DecodeError(f"{path}: the mesh has no faces.")
    corners = corners[:, :3]
    if not np.isfinite(corners).all():
        line, _ = rest[int(np.flatnonzero(~np.isfinite(corners).all(axis=1))[0])]
        raise DecodeError(f"{path}, line {line}: a corner lies nowhere: {brief(corners[line - rest[0][0]].tolist())}.")
    return Mesh(corners, np.array(triangles, dtype=np.int64))


def _lines(path: Path, content: bytes) -> _Lines:
    """Lines with something in them and their numbers from 1, without comments."""
    try:
        text = decoded(content, encoding="utf-8-sig")
    except ValueError as error:
        raise DecodeError(f"{path}, {error}.") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if told := line.partition("#")[0].strip():
            yield number, told


def _fields(line: str) -> list[str]:
    return [field for field in _BETWEEN.split(line) if field]


def _matrix(path: Path, lines: Sequence[tuple[int, str]], *, width: int | None) -> Float64[np.ndarray, "rows columns"]:
    """Numbers of lines that all have as many of them as the first, or `width`."""
    rows = [_fields(line) for _, line in lines]
    width = (len(rows[0]) if rows else 0) if width is None else width
    for (number, _), row in zip(lines, rows, strict=True):
        if len(row) != width:
            raise DecodeError(f"{path}, line {number}: holds {count_of(len(row), 'number')}, and others {width}.")
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), width)
    except ValueError:
        number, wrong = next(
            (number, field)
            for (number, _), row in zip(lines, rows, strict=True)
            for field in row
            if not _NUMBER.fullmatch(field)
        )
        raise DecodeError(f"{path}, line {number}: {brief(wrong)} is no number.") from None
