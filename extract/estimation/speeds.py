"""How fast this machine decodes, runs the backbones and writes: a few samples of those to be done, timed side by side.

Each side is measured alone, as a run uses it: files as the decode processes read them, whole groups through the
backbones, chunks written and synced on the disk that has the store.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import fsum
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from ...atomic import scratch_folder
from ...cache.arrays import NUMPY_TYPES, FeatureSetSpec
from ...cache.chunks import write_rows
from ...errors import disk_errors
from ...progress import say
from ...wording import count_of
from ..batching import AdaptiveEncoder, encode_group
from ..features.kind import Prepared
from ..plan import ExtractPlan, Job
from ..pool.decode_pool import DecodePool
from ..pool.read_job import Failure
from ..request import Request
from ..sides import cores_left_to

_SAMPLES = 3  # a feature, of which the first finds caches cold and libraries not yet imported
_ROUNDS = 4  # of that many, where all samples of a round are broken
_PATIENCE = 60.0  # seconds that decoding one may take here; a run gives it more
_LONG = 5.0  # seconds; where one sample takes longer, once is enough, warm-up and all
_SHORT = 0.5  # where it takes less, a whole group is timed
_SCRATCH = "weldcache-speeds"
_TRIALS = 2  # groups of a feature set, written to see how fast that is, after one to warm up
_TRIAL_BYTES = 8 << 20  # of a group at most
_TRIAL_SHARE = 0.05  # of the free disk, likewise

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Seconds on the clock and of cores: more of these where threads share work, fewer where a disk is awaited."""

    seconds: float
    core_seconds: float

    def each(self, count: int) -> "Cost":
        """The cost of one of `count` equal parts."""
        return Cost(self.seconds / count, self.core_seconds / count)


def measure(work: Callable[[], Result]) -> tuple[Result, Cost]:
    """Do the work; return its result and what it cost."""
    started, cores_started = time.perf_counter(), time.process_time()
    result = work()
    return result, Cost(time.perf_counter() - started, time.process_time() - cores_started)


@dataclass(frozen=True)
class Speeds:
    """Speeds of the three sides, each measured alone; without the features of which nothing could be read."""

    decode: Mapping[str, Cost]  # of a sample by feature, in one process, hashing its files included
    encode: Mapping[str, Cost]  # of a sample by feature, in groups as they will run
    write: Mapping[str, Cost]  # of a row by feature set, synced
    flops: Mapping[str, int]  # of a sample by feature, a multiply-add being two
    seconds: float  # that measuring took, loading the backbones included

    @property
    def flops_per_second(self) -> float:
        """What the backbones achieve together; 0 where there are none."""
        timed = [feature for feature in self.encode if self.flops[feature]]
        seconds = fsum(self.encode[feature].seconds for feature in timed)
        return sum(self.flops[feature] for feature in timed) / seconds if seconds else 0.0


@dataclass(frozen=True)
class ReadSamples:
    """Samples of one feature that could be read, and what that costs."""

    prepared: Sequence[Prepared]
    decode: Cost  # of one, in one process


def measure_speeds(
    request: Request, plan: ExtractPlan, *, group_size: int, workers: int, device: torch.device, store_path: Path
) -> Speeds:
    """Read, encode and write a few samples of `plan`; leaves the backbones that it needs loaded, and no file.

    Raises:
        BackboneError: if a backbone's weights are not whole.
        WeldcacheError: if the device does not hold one sample, or decode processes cannot start.
        StoreError: if the disk refuses to be written to.
    """
    started = time.perf_counter()
    samples = read_samples(request, [job for group in plan.groups for job in group], workers=workers)
    todo = frozenset(name for name, rows in plan.rows_todo.items() if rows)
    encode: dict[str, Cost] = {}
    flops: dict[str, int] = {}
    with cores_left_to(workers):
        for feature, read in samples.items():
            encoder = request.encoders[feature]
            wanted = todo & {spec.name for spec in encoder.specs}
            encoder.load()
            flops[feature] = encoder.flops(read.prepared[0], feature_sets=wanted)
            adaptive = AdaptiveEncoder(encoder, feature, at_once=group_size)
            cost = _encode_cost(adaptive, read.prepared, feature_sets=wanted, group_size=group_size, device=device)
            if cost is not None:
                encode[feature] = cost
    specs = [spec for encoder in request.encoders.values() for spec in encoder.specs if spec.name in todo]
    return Speeds(
        decode={feature: read.decode for feature, read in samples.items()},
        encode=encode,
        write=write_costs(specs, store_path=store_path, group_size=group_size),
        flops=flops,
        seconds=time.perf_counter() - started,
    )


def read_samples(request: Request, jobs: Sequence[Job], *, workers: int) -> Mapping[str, ReadSamples]:
    """Read a few of `jobs`, drawn with a fixed seed, one feature at a time; one that nothing can be read of is left
    out, and said to be.

    Where a run decodes in `workers` processes this does in one, so that a file that kills its decoder costs no more
    here than there.
    """
    readers = {feature: encoder.reader for feature, encoder in request.encoders.items()}
    limits = replace(request.limits, seconds=min(request.limits.seconds, _PATIENCE))
    with DecodePool(readers, workers=min(workers, 1), root=request.root, limits=limits) as pool:
        read = {
            name: _read(pool, name, _candidates(jobs, name, stream=reader.stream), noun=request.noun)
            for name, reader in readers.items()
        }
    return {name: samples for name, samples in read.items() if samples is not None}


def _candidates(jobs: Sequence[Job], feature: str, *, stream: str) -> list[Job]:
    listed = [job for job in jobs if feature in job.decode and job.sample.why_absent(stream) is None]
    chosen = np.random.default_rng(0).permutation(len(listed))[: _SAMPLES * _ROUNDS]
    return [replace(listed[place], decode=frozenset({feature})) for place in chosen]


def _read(pool: DecodePool, feature: str, candidates: Sequence[Job], *, noun: str) -> ReadSamples | None:
    why_not = ""
    for start in range(0, len(candidates), _SAMPLES):
        found: list[tuple[Prepared, float]] = []
        for (read,) in pool.read([[job] for job in candidates[start : start + _SAMPLES]]):
            outcome = read.prepared[feature]
            if isinstance(outcome, Prepared):
                found.append((outcome, read.seconds))
            elif isinstance(outcome, Failure):
                why_not = f"{read.job.sample.key}: {outcome.reason}"
        if found:
            timed = [seconds for _, seconds in found[1:] or found]
            mean = sum(timed) / len(timed)
            return ReadSamples([item for item, _ in found], Cost(mean, core_seconds=mean))  # a process has one thread
    if candidates:
        say(
            f"{feature}: of {count_of(len(candidates), noun)} tried none could be read, so what it costs is not in "
            f"the estimate. {why_not}"
        )
    return None


def _encode_cost(
    encoder: AdaptiveEncoder,
    prepared: Sequence[Prepared],
    *,
    feature_sets: frozenset[str],
    group_size: int,
    device: torch.device,
) -> Cost | None:
    """What a sample costs, or None where the backbone fails on every one of `prepared`."""

    def run(item: Prepared, num_samples: int) -> bool:
        made = encode_group(encoder, dict.fromkeys(range(num_samples), item), feature_sets=feature_sets)
        _wait_for(device)
        return bool(made.rows)

    for item in prepared:
        takes, first = measure(partial(run, item, 1))
        if takes:
            return first if first.seconds > _LONG else _warm_cost(partial(run, item), group_size=group_size)
    return None


def _warm_cost(run: Callable[[int], object], *, group_size: int) -> Cost:
    _, alone = measure(partial(run, 1))
    if alone.seconds > _SHORT or group_size == 1:
        return alone
    _, whole = measure(partial(run, group_size))
    if whole.seconds < _SHORT:  # the first of its shape may be slow, and another costs little
        _, whole = measure(partial(run, group_size))
    return whole.each(group_size)


def _wait_for(device: torch.device) -> None:
    """Return when `device` has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def write_costs(specs: Sequence[FeatureSetSpec], *, store_path: Path, group_size: int) -> dict[str, Cost]:
    """What it costs to write and sync a row of each feature set, in groups, on the disk that has `store_path`.

    What is written for it is removed again. Records are left out: a run writes those of a second's groups together.

    Raises:
        StoreError: if the disk refuses it.
    """
    beside = existing_folder(store_path.absolute().parent)
    allowed = min(_TRIAL_BYTES, int(_TRIAL_SHARE * shutil.disk_usage(beside).free))
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


def existing_folder(path: Path) -> Path:
    """`path`, or the nearest folder above it that exists."""
    return next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.exists())
