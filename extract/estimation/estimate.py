"""What an extraction will do and cost, found out without doing it: rows, bytes, operations, and the time that they take
on this machine. `weldcache plan` shows it, and `extract` begins with it.
"""

import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import fsum
from pathlib import Path

from ...cache.arrays import FeatureSetSpec
from ...cache.buckets.bucket import Bucket
from ...cache.buckets.inventory import INVENTORY
from ...cache.buckets.opened_copy import scratch_path
from ...cache.splits import OFFICIAL, Split
from ...cache.splitting import torn_groups
from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...configs.place import BucketUrl, StorePlace
from ...errors import OutputExistsError, StoreError
from ...progress import say
from ...settings import Settings
from ...wording import format_size, listed
from ..batching import CPU_GROUP_SIZE
from ..engines.spans import MOST_GROUPS
from ..plan import ExtractPlan
from ..reconcile import stale_rows
from ..request import Request, make_request
from ..sides import bottleneck, num_cores, num_workers
from .group_size import choose_group_size, known_group_size
from .speeds import Cost, Speeds, existing_folder, measure_speeds

_MARGIN = 1.01  # of the disk: folders grow with their files
_MARGIN_BYTES = 4 << 20  # and a store has metadata
_CHECKSUM_BYTES = 4  # behind a chunk's values
_RECORD_BYTES = 512  # of a row in a feature set: status, hashes of files, digest, in chunks that many rows share


@dataclass(frozen=True)
class Times:
    """Seconds of a run."""

    sides: Mapping[str, float]  # side -> what it would take if the others took nothing
    shared: float  # what all sides together need of the cores: the least that a run can take
    run: float  # expected of the run
    startup: float  # expected before it: loading the backbones and measuring

    @property
    def bottleneck(self) -> str:
        """The side that takes longest."""
        return bottleneck(self.sides)


@dataclass(frozen=True)
class Estimate:
    """What a run that follows a plan will write, and how long it will take where that was measured."""

    noun: str  # what one of them is called
    store_path: StorePlace
    num_rows: int  # asked for
    num_todo: int
    num_masked: int  # of those asked for, that have masks of their defects
    rows_todo: Mapping[str, Mapping[str, int]]  # feature set -> split -> rows
    rows_without_files: Mapping[str, int]  # feature set -> rows of these that will be reported, not made
    array_bytes: Mapping[str, int]  # `set/array` -> bytes to write
    disk_bytes: int  # that they take up on the disk, with room to spare
    free_bytes: int
    group_size: int  # samples that go through the backbones together
    workers: int  # decode processes
    speeds: Speeds | None
    times: Times | None

    @property
    def feature_bytes(self) -> int:
        """Bytes of all arrays to write."""
        return sum(self.array_bytes.values())

    @property
    def enough_disk(self) -> bool:
        """Whether what is to be written fits."""
        return self.disk_bytes <= self.free_bytes

    @property
    def samples_per_second(self) -> dict[str, float]:
        """Rate of each side alone, over the samples to do; sides that have nothing to do are left out."""
        seconds = {} if self.times is None else self.times.sides
        return {side: self.num_todo / spent for side, spent in seconds.items() if spent}


def estimate(settings: Settings, *, split: str = "all", measure: bool = True, refresh: bool = False) -> Estimate:
    """What `extract` would cost; changes nothing and makes nothing but the demo backbones, where these are asked for.

    Raises:
        NotFoundError: if there is no data set, it has no such split, or nothing of it is there.
        FingerprintError: if the store was made from something else, as `extract` would.
        OutputExistsError: if something else is where the store would be.
    """
    request = make_request(settings, split=split, needs_files=True)
    store = _existing_store(settings.cache.path)
    if store is not None:
        request = request.as_held(store.index)
        request = replace(request, stale=stale_rows(store, request, refresh=refresh))
    return plan_and_estimate(store, request, settings, measure=measure)[1]


def plan_and_estimate(
    store: FeatureStore | None, request: Request, settings: Settings, *, measure: bool = True, least_groups: int = 1
) -> tuple[ExtractPlan, Estimate]:
    """Cut what `store` lacks into groups, and find out what they cost: in time too, where `measure` allows it and there
    are as many groups as make measuring worth its seconds.

    Raises:
        BackboneError: if a backbone's weights are not whole.
        WeldcacheError: if the device does not hold one sample, or decode processes cannot start.
        StoreError: if the disk refuses to be written to.
    """
    if settings.train.task == "anomaly" and request.without_normals:
        say(
            f"There is no normal {request.noun} in {listed(request.without_normals)}, and a training with "
            "train.task = anomaly needs some. Say in the data set which are; where splits are drawn, have more groups "
            "that are normal throughout."
        )
    if torn := torn_groups(request.index, Split(OFFICIAL, request.index.parts), noun=request.noun):
        say(f"{torn} A model may know them again in test; `weldcache split NAME` deals whole groups.")
    if measure:
        group_size = choose_group_size(store, request, settings)
    else:
        group_size = known_group_size(store, settings) or CPU_GROUP_SIZE
    plan = request.plan(store, group_size=group_size)
    workers = num_workers(settings.extract)
    path = written_folder(settings.cache.path)
    measured = None
    if measure and len(plan.groups) >= least_groups:
        device = resolve_device(settings.extract.device, setting="extract.device")
        measured = measure_speeds(request, plan, group_size=group_size, workers=workers, device=device, store_path=path)
    place = settings.cache.path
    return plan, estimate_plan(request, plan, measured, group_size=group_size, workers=workers, store_path=place)


def written_folder(place: StorePlace) -> Path:
    """The folder that an extraction writes to: the store, or the working copy of one in a bucket."""
    return scratch_path(place) if isinstance(place, BucketUrl) else place


def _existing_store(path: StorePlace) -> FeatureStore | None:
    if isinstance(path, BucketUrl):
        return FeatureStore.open(path) if INVENTORY in Bucket(path).listed() else None
    if not path.exists():
        return None
    if not (path / "zarr.json").exists():
        raise OutputExistsError(f"{path} exists already and is not a complete feature store; move it away.")
    return FeatureStore.open(path)


def estimate_plan(
    request: Request,
    plan: ExtractPlan,
    measured: Speeds | None,
    *,
    group_size: int,
    workers: int,
    store_path: StorePlace,
) -> Estimate:
    """What `plan` costs, in time too where the speeds were measured."""
    folder = written_folder(store_path)
    specs = [spec for encoder in request.encoders.values() for spec in encoder.specs]
    without_files = _rows_without_files(request, plan)
    rows = {spec.name: sum(plan.rows_todo[spec.name].values()) - without_files[spec.name] for spec in specs}
    # What goes into a bucket stays on the disk until the end of its span.
    most_rows = MOST_GROUPS * group_size if isinstance(store_path, BucketUrl) else plan.num_rows
    disk_bytes = sum(min(rows[spec.name], most_rows) * row_bytes_on_disk(spec, path=folder) for spec in specs)
    return Estimate(
        noun=request.noun,
        store_path=store_path,
        num_rows=plan.num_rows,
        num_todo=plan.num_todo,
        num_masked=sum(bool(sample.masks) for sample in request.samples if sample.split in request.splits),
        rows_todo=plan.rows_todo,
        rows_without_files=without_files,
        array_bytes=_array_bytes(specs, rows),
        disk_bytes=int(disk_bytes * _MARGIN) + _MARGIN_BYTES if disk_bytes else 0,
        free_bytes=free_bytes(folder),
        group_size=group_size,
        workers=workers,
        speeds=measured,
        times=None
        if measured is None
        else expected_times(measured, plan, streams=request.streams, rows=rows, workers=workers, num_cores=num_cores()),
    )


def expected_times(
    measured: Speeds,
    plan: ExtractPlan,
    *,
    streams: Mapping[str, str],
    rows: Mapping[str, int],
    workers: int,
    num_cores: int,
) -> Times:
    """Expect the slowest side's seconds, and the others' only for the group in which they have nothing to overlap with.

    `streams` are what each feature is made from, `rows` those to write of each feature set. Whatever overlaps, the
    cores' work divided by their number is the least that it takes; with no workers, decoding and backbones take turns
    in one process. Programs that run beside it are not reckoned with.
    """
    samples = _samples_read(plan, streams)
    decode, backbones = _total(measured.decode, samples), _total(measured.encode, samples)
    disk = _total(measured.write, rows)
    sides = {
        "decode": decode.seconds / max(min(workers, num_cores), 1),
        "backbones": backbones.seconds,
        "disk": disk.seconds,
    }
    shared = (decode.core_seconds + backbones.core_seconds + disk.core_seconds) / num_cores
    at_once = list(sides.values()) if workers else [sides["decode"] + sides["backbones"], sides["disk"]]
    hidden = fsum(at_once) - max(at_once)  # behind the slowest, but for one group
    overlapped = max(at_once) + hidden / max(len(plan.groups), 1)
    return Times(
        sides=sides,
        shared=shared,
        run=max(overlapped, shared),
        startup=measured.seconds,
    )


def require_disk_space(expected: Estimate) -> None:
    """Refuse what the disk does not hold.

    Raises:
        StoreError: with the bytes needed and free, and what to do.
    """
    if not expected.enough_disk:
        raise StoreError(
            f"The disk is too small: {written_folder(expected.store_path)} needs {format_size(expected.disk_bytes)} "
            f"more and {format_size(expected.free_bytes)} are free. Make room; or put the store on another disk with "
            "--cache (TMPDIR says where one in a bucket is worked on); or store less, such as fewer blocks of a "
            "feature. Nothing was computed."
        )


def _rows_without_files(request: Request, plan: ExtractPlan) -> dict[str, int]:
    stream_of = request.stream_of
    counted = Counter(
        name for job in plan.jobs for name in job.write if job.sample.why_absent(stream_of[name]) is not None
    )
    return {name: counted[name] for name in stream_of}


def _array_bytes(specs: Sequence[FeatureSetSpec], rows: Mapping[str, int]) -> dict[str, int]:
    return {f"{spec.name}/{array.name}": array.row_bytes * rows[spec.name] for spec in specs for array in spec.arrays}


def _samples_read(plan: ExtractPlan, streams: Mapping[str, str]) -> Counter[str]:
    """Samples to read and encode by feature; those known to have no files take no time."""
    jobs = [job for group in plan.groups for job in group]
    return Counter(name for job in jobs for name in job.decode if job.sample.why_absent(streams[name]) is None)


def _total(costs: Mapping[str, Cost], counts: Mapping[str, int]) -> Cost:
    return Cost(
        seconds=fsum(counts[name] * cost.seconds for name, cost in costs.items()),
        core_seconds=fsum(counts[name] * cost.core_seconds for name, cost in costs.items()),
    )


def free_bytes(path: Path) -> int:
    """What is free where `path` is, or will be."""
    return shutil.disk_usage(existing_folder(path)).free


def row_bytes_on_disk(spec: FeatureSetSpec, *, path: Path) -> int:
    """What a row takes up where `path` is: every chunk is a file, and a file takes up whole blocks."""
    block = os.statvfs(existing_folder(path)).f_frsize
    chunks = sum(-(-(array.row_bytes + _CHECKSUM_BYTES) // block) for array in spec.arrays)
    return chunks * block + _RECORD_BYTES
