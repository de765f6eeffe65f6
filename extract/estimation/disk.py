"""The disk that a store is on: what rows take up there, what is free, and how fast it takes them."""

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atomic import disk_errors, scratch_folder
from ...cache.arrays import NUMPY_TYPES, FeatureSetSpec
from ...cache.chunks import write_rows
from .cost import Cost, measure

_CHECKSUM_BYTES = 4  # behind a chunk's values
_RECORD_BYTES = 512  # of a row in a feature set: status, hashes of files, digest, in chunks that many rows share
_SCRATCH = "weldcache-probe"
_TRIALS = 2  # groups of a feature set, written to see how fast that is, after one to warm up
_TRIAL_BYTES = 8 << 20  # of a group at most
_TRIAL_SHARE = 0.05  # of the free disk, likewise


def free_bytes(path: Path) -> int:
    """What is free where `path` is, or will be."""
    return shutil.disk_usage(_existing(path)).free


def row_bytes_on_disk(spec: FeatureSetSpec, *, path: Path) -> int:
    """What a row takes up where `path` is: every chunk is a file, and a file takes up whole blocks."""
    block = os.statvfs(_existing(path)).f_frsize
    chunks = sum(-(-(array.row_bytes + _CHECKSUM_BYTES) // block) for array in spec.arrays)
    return chunks * block + _RECORD_BYTES


def write_costs(specs: Sequence[FeatureSetSpec], *, store_path: Path, group_size: int) -> dict[str, Cost]:
    """What it costs to write and sync a row of each feature set, in groups, on the disk that has `store_path`.

    What is written for it is removed again. Records are left out: a run writes those of a second's groups together.

    Raises:
        StoreError: if the disk refuses it.
    """
    beside = _existing(store_path.absolute().parent)
    allowed = min(_TRIAL_BYTES, int(_TRIAL_SHARE * free_bytes(beside)))
    with disk_errors(store_path), scratch_folder(beside / _SCRATCH) as folder:
        return {
            spec.name: _trial(folder, spec, num_rows=min(group_size, max(1, allowed // spec.row_bytes)))
            for spec in specs
        }


def _trial(folder: Path, spec: FeatureSetSpec, *, num_rows: int) -> Cost:
    generator = np.random.default_rng(0)  # a disk that compresses would be too quick with zeros
    values: dict[Path, NDArray[np.generic]] = {}
    for array in spec.arrays:
        path = folder / spec.name / array.name
        path.mkdir(parents=True)
        drawn = np.frombuffer(generator.bytes(num_rows * array.row_bytes), dtype=NUMPY_TYPES[array.dtype])
        values[path] = drawn.reshape(num_rows, *array.shape)

    def write(groups: range) -> None:
        for group in groups:
            for path, of_array in values.items():
                write_rows(path, range(group * num_rows, (group + 1) * num_rows), of_array)

    write(range(1))  # the first time starts threads
    _, cost = measure(partial(write, range(1, 1 + _TRIALS)))
    return cost.each(_TRIALS * num_rows)


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
