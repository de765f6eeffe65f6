"""Point clouds: the points that are taken, which points of the file these are, and which of them lie together.

A cloud with fewer points than there is room for is padded with NaN, which `points_length` tells: padding is never a
point, and neither a centre nor a neighbour. Where a sample has numbers beside its file, `Sample.vectors` under the same
stream, they are a rotation vector in degrees by which the cloud is turned first: so several samples may be one object,
turned, and the numbers are recorded as what their rows are made from.

What lies together is found once here: from each level of `centres` the order of farthest points, and of each centre
its neighbours among the points of the level before it. A network such as PointNet++ (Qi et al. 2017) then has no
geometry left to compute at every step.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64, Int64

from ...cache.arrays import ArraySpec
from ...errors import DecodeError
from ...wording import count_of, listed
from ..decode.cloud_files import Mesh, PointRows, read_cloud_file
from ..decode.cloud_geometry import farthest_points, in_unit_sphere, neighbours_within, points_on_surface, turned
from ..sources.source import LabelsPoints, PointLabeller, Sample
from .kind import Prepared, StoredAsRead, StreamReader, Tools
from .settings import CloudSettings

_NOTHING = -1  # in arrays of whole numbers: padding, and labels that are not known
_LABEL = "label"
_NORMAL = ("nx", "ny", "nz")


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points as they are stored: `index` is the place of each in its file, or the triangle of a mesh that it lies on,
    `labels` one whole number a point of the file."""

    values: Float64[np.ndarray, "points channels"]
    index: Int64[np.ndarray, " points"]
    labels: Int64[np.ndarray, " _"] | None = field(default=None)


@dataclass(frozen=True)
class CloudReader(StreamReader):
    """{"points": (num_points, channels), "points_length": (), "index": (num_points,)}; "labels" as the index, where
    they are asked for; "order" (centres,) and "neighbours_<level>" (centres, neighbours) where there are levels."""

    settings: CloudSettings
    labeller: PointLabeller | None = None  # reads labels that are no list of one for each point

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """The files of the cloud, and those of its labels."""
        labels = self.settings.labels
        return (
            *sample.files[self.stream],
            *(sample.files.get(labels, ()) if labels not in (None, self.stream) else ()),
        )

    def __call__(self, sample: Sample) -> Prepared:
        settings, path = self.settings, _only(sample, self.stream)
        drawn = np.random.default_rng(_seed(settings.seed, sample.key))
        whole = self.whole_cloud(sample, path, drawn)
        if rotation := sample.vectors.get(self.stream):
            whole = _turned(whole, rotation, channels=settings.channels)
        chosen = self._chosen(whole, path, drawn)
        values = whole.values[chosen]
        if settings.normalise == "unit_sphere":
            values = np.concatenate([in_unit_sphere(values[:, :3]), values[:, 3:]], axis=1)
        lacking = settings.num_points - len(values)
        tensors = {
            "points": np.pad(values, ((0, lacking), (0, 0)), constant_values=np.nan).astype(np.float32),
            "points_length": np.array(len(values), dtype=np.int32),
            "index": _padded(whole.index[chosen], settings.num_points),
        }
        if settings.labels is not None:
            labels = np.full(len(whole.index), _NOTHING) if whole.labels is None else whole.labels
            if settings.positive is not None:
                labels = np.where(labels == _NOTHING, _NOTHING, np.isin(labels, settings.positive))
            tensors["labels"] = _padded(labels[chosen], settings.num_points)
        tensors |= self._neighbourhoods(values[:, :3])
        padded = lacking > 0 and settings.sampling != "all"
        notes = (f"there are only {count_of(len(values), 'point')} of {settings.num_points:,}",) if padded else ()
        return Prepared({name: torch.from_numpy(array) for name, array in tensors.items()}, notes=notes)

    def whole_cloud(self, sample: Sample, path: Path, drawn: np.random.Generator) -> Cloud:
        """All points of the sample's file with the channels that are kept, before any is chosen or moved; of a mesh,
        points on its surface.

        Raises:
            DecodeError: if a file cannot be read, lacks a channel, or has a point that lies nowhere.
        """
        settings, found = self.settings, read_cloud_file(path)
        if isinstance(found, Mesh):
            return self._on_surface(found, path, drawn)
        rows = found.named(settings.columns, path=path)
        columns = rows.columns or ()
        if lacking := [name for name in settings.channels if name not in columns]:
            raise DecodeError(f"{path}: there is no column {listed(lacking)}; it has {listed(columns)}.")
        values = rows.values[:, [columns.index(name) for name in settings.channels]]
        if not (finite := np.isfinite(values).all(axis=1)).all():
            row = int(np.flatnonzero(~finite)[0])
            raise DecodeError(f"{path}: point {row + 1} is not finite: {values[row].tolist()}.")
        return Cloud(values, np.arange(len(values)), self._labels(sample, rows, path))

    def _on_surface(self, mesh: Mesh, path: Path, drawn: np.random.Generator) -> Cloud:
        settings = self.settings
        if settings.labels is not None:
            raise DecodeError(f"{path}: points that are drawn on a mesh have no labels of their own; leave labels out.")
        num = settings.num_points
        num = max(num, settings.surface_points) if settings.sampling == "farthest" else num
        try:
            places, normals, faces = points_on_surface(mesh.corners, mesh.triangles, num_points=num, generator=drawn)
        except ValueError as error:
            raise DecodeError(f"{path}: {error}.") from None
        held = {**dict(zip("xyz", places.T, strict=True)), **dict(zip(_NORMAL, normals.T, strict=True))}
        if lacking := [name for name in settings.channels if name not in held]:
            raise DecodeError(f"{path}: a mesh has no {listed(lacking)}; it has {listed(held)}.")
        return Cloud(np.stack([held[name] for name in settings.channels], axis=1), faces)

    def _labels(self, sample: Sample, rows: PointRows, path: Path) -> Int64[np.ndarray, " points"] | None:
        """A whole number for each point of the file; None where the sample has no file of them."""
        stream = self.settings.labels
        if stream is None or sample.why_absent(stream) is not None:
            return None
        columns = rows.columns or ()
        if stream == self.stream:
            if _LABEL not in columns:
                raise DecodeError(f"{path}: there is no column {_LABEL}; it has {listed(columns)}.")
            return _whole(rows.values[:, columns.index(_LABEL)], path)
        labels = _only(sample, stream)
        if self.labeller is not None:
            axes = [columns.index(name) for name in ("x", "y", "z")]
            return self.labeller(rows.values[:, axes], labels)
        found = read_cloud_file(labels)
        if isinstance(found, Mesh) or len(found.values) != len(rows.values):
            told = "a mesh" if isinstance(found, Mesh) else count_of(len(found.values), "label")
            raise DecodeError(f"{labels}: is {told} for {count_of(len(rows.values), 'point')} of {path}.")
        return _whole(found.values[:, -1], labels)

    def _chosen(self, whole: Cloud, path: Path, drawn: np.random.Generator) -> Int64[np.ndarray, " points"]:
        """Numbers of the points that are taken, in the order in which they are stored."""
        settings, num = self.settings, len(whole.values)
        most = settings.num_points
        if settings.sampling == "all":
            if num > most:
                raise DecodeError(f"{path}: has {num:,} points, and num_points has room for {most:,}.")
            return np.arange(num)
        if settings.sampling == "random":
            return drawn.permutation(num)[:most]
        return farthest_points(whole.values[:, :3], min(num, most))

    def _neighbourhoods(self, points: Float64[np.ndarray, "points 3"]) -> dict[str, np.ndarray]:
        """The order of farthest points, and each level's neighbours as places in the level before it."""
        settings = self.settings
        if not settings.centres:
            return {}
        start = 0 if settings.sampling == "farthest" else None
        order = farthest_points(points, settings.centres[0], start=start)
        found, level = {"order": order.astype(np.int32)}, points
        for number, (num, radius, neighbours) in enumerate(
            zip(settings.centres, settings.radii, settings.neighbours, strict=True), start=1
        ):
            centres = points[order[:num]]
            found[f"neighbours_{number}"] = neighbours_within(level, centres, radius=radius, num=neighbours).astype(
                np.int32
            )
            level = centres
        return found


class CloudEncoder(StoredAsRead):
    """Stores the points as they are read."""

    def __init__(self, name: str, settings: CloudSettings, *, reader: CloudReader | None = None) -> None:
        num, channels = settings.num_points, list(settings.channels)
        whole_numbers = {
            "index": ((num,), ("point",)),
            **({"labels": ((num,), ("point",))} if settings.labels is not None else {}),
            **({"order": ((settings.centres[0],), ("centre",))} if settings.centres else {}),
            **{
                f"neighbours_{level}": (shape, ("centre", "neighbour"))
                for level, shape in enumerate(zip(settings.centres, settings.neighbours, strict=True), start=1)
            },
        }
        arrays = [
            ArraySpec(
                "points",
                (num, len(channels)),
                ("point", "channel"),
                "float32",
                allows_nan=True,
                attributes={"channels": channels},
            ),
            ArraySpec("points_length", (), (), "int32", distinct=False),
            *(
                ArraySpec(
                    array,
                    shape,
                    dims,
                    "int32",
                    distinct=False,
                    attributes={"target": True} if array == "labels" else {},
                )
                for array, (shape, dims) in whole_numbers.items()
            ),
        ]
        told = settings.model_dump(mode="json", exclude={"kind", "stream", "by_default"})
        super().__init__(name, reader or CloudReader(settings), arrays, decoding=told)


def make(name: str, settings: CloudSettings, tools: Tools) -> CloudEncoder:
    source, labels = tools.source, settings.labels
    labellers = source.point_labellers() if isinstance(source, LabelsPoints) else {}
    labeller = None if labels is None else labellers.get(labels)
    return CloudEncoder(name, settings, reader=CloudReader(settings, labeller))


def _only(sample: Sample, stream: str) -> Path:
    files = sample.files[stream]
    if len(files) != 1:
        raise DecodeError(f"{sample.key}: there are {count_of(len(files), 'file')} of {stream}; a cloud is one.")
    return files[0]


def _seed(seed: int, key: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}\0{key}".encode()).digest()[:8], "big")


def _turned(cloud: Cloud, rotation: Sequence[float], *, channels: Sequence[str]) -> Cloud:
    """The cloud with its places, and normals where it has them, turned by a rotation vector in degrees."""
    values = cloud.values.copy()
    for axes in (("x", "y", "z"), _NORMAL):
        if set(axes) <= set(channels):
            places = [channels.index(axis) for axis in axes]
            values[:, places] = turned(values[:, places], rotation)
    return Cloud(values, cloud.index, cloud.labels)


def _padded(numbers: Int64[np.ndarray, " points"], room: int) -> np.ndarray:
    return np.pad(numbers, (0, room - len(numbers)), constant_values=_NOTHING).astype(np.int32)


def _whole(values: Float64[np.ndarray, " points"], path: Path) -> Int64[np.ndarray, " points"]:
    """Labels as whole numbers."""
    wrong = np.flatnonzero((values != np.round(values)) | (np.abs(values) >= 2**31))
    if len(wrong):
        raise DecodeError(f"{path}: the label of point {int(wrong[0]) + 1} is {values[wrong[0]]}, and no whole number.")
    return values.astype(np.int64)
