"""What an extraction will cost: rows, bytes, operations, and the time that it will take on this machine."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.arrays import FeatureSetSpec
from ...errors import StoreError
from ...wording import count_of, format_seconds, format_size
from ..cores import num_cores
from ..plan import ExtractPlan
from ..request import Request
from .cost import Cost
from .disk import free_bytes, row_bytes_on_disk
from .forecast import Forecast, forecast
from .probe import Probe

_MARGIN = 1.01  # of the disk: folders grow with their files
_MARGIN_BYTES = 4 << 20  # and a store has metadata


@dataclass(frozen=True)
class Estimate:
    """What a run that follows a plan will write, and how long it will take where that was measured."""

    store_path: Path
    num_rows: int  # asked for
    num_todo: int
    rows_todo: Mapping[str, Mapping[str, int]]  # feature set -> split -> rows
    rows_without_files: Mapping[str, int]  # feature set -> rows of these that will be reported, not made
    array_bytes: Mapping[str, int]  # `set/array` -> bytes to write
    disk_bytes: int  # that they take up on the disk, with room to spare
    free_bytes: int
    group_size: int  # welds that go through the backbones together
    workers: int  # decode processes
    probe: Probe | None
    forecast: Forecast | None

    @property
    def feature_bytes(self) -> int:
        """Bytes of all arrays to write."""
        return sum(self.array_bytes.values())

    @property
    def enough_disk(self) -> bool:
        """Whether what is to be written fits."""
        return self.disk_bytes <= self.free_bytes

    @property
    def welds_per_second(self) -> dict[str, float]:
        """Rate of each side alone, over the welds to do; sides that have nothing to do are left out."""
        seconds = {} if self.forecast is None else self.forecast.sides
        return {side: self.num_todo / spent for side, spent in seconds.items() if spent}


def estimate(
    request: Request, plan: ExtractPlan, measured: Probe | None, *, group_size: int, workers: int, store_path: Path
) -> Estimate:
    """What `plan` costs, in time too where the speeds were measured."""
    specs = [spec for encoder in request.encoders.values() for spec in encoder.specs]
    without_files = _rows_without_files(request, plan)
    rows = {spec.name: sum(plan.rows_todo[spec.name].values()) - without_files[spec.name] for spec in specs}
    disk_bytes = sum(rows[spec.name] * row_bytes_on_disk(spec, path=store_path) for spec in specs)
    return Estimate(
        store_path=store_path,
        num_rows=plan.num_rows,
        num_todo=plan.num_todo,
        rows_todo=plan.rows_todo,
        rows_without_files=without_files,
        array_bytes=_array_bytes(specs, rows),
        disk_bytes=int(disk_bytes * _MARGIN) + _MARGIN_BYTES if disk_bytes else 0,
        free_bytes=free_bytes(store_path),
        group_size=group_size,
        workers=workers,
        probe=measured,
        forecast=None
        if measured is None
        else forecast(measured, plan, rows=rows, workers=workers, num_cores=num_cores()),
    )


def require_disk_space(expected: Estimate) -> None:
    """Refuse what the disk does not hold.

    Raises:
        StoreError: with the bytes needed and free, and what to do.
    """
    if not expected.enough_disk:
        raise StoreError(
            f"The disk is too small: {expected.store_path} needs {format_size(expected.disk_bytes)} more and "
            f"{format_size(expected.free_bytes)} are free. Make room; or put the store on another disk with --cache; "
            "or store less, such as fewer of image.blocks. Nothing was computed."
        )


def describe(expected: Estimate) -> list[str]:
    """What `extract` says before it starts: three lines, or the first of them where nothing was measured."""
    todo = (
        f"{expected.store_path}: {welds_to_do(expected)}, "
        f"{format_size(expected.feature_bytes)} to write, {format_size(expected.free_bytes)} free."
    )
    measured, times = expected.probe, expected.forecast
    if measured is None or times is None:
        return [todo]
    flops = ", ".join(f"{modality} {format_size(count, 'FLOP')}" for modality, count in measured.flops.items() if count)
    speeds = ", ".join(f"{side} {rate:.3g}" for side, rate in expected.welds_per_second.items())
    return [
        todo,
        f"A weld: {flops or 'no backbone'}. Welds/s of each side alone: {speeds}.",
        f"Expected: about {format_seconds(times.run)}; the bottleneck is {times.bottleneck}.",
    ]


def welds_to_do(expected: Estimate) -> str:
    """How much is left of what is asked for: `12 of 38 welds to do`."""
    return f"{expected.num_todo:,} of {count_of(expected.num_rows, 'weld')} to do"


def to_json(expected: Estimate) -> dict[str, Any]:
    """As plain JSON values, for `weldcache plan --json`, whose help lists the keys."""
    measured, times = expected.probe, expected.forecast
    return {
        "store": str(expected.store_path),
        "welds": {"asked": expected.num_rows, "to_do": expected.num_todo},
        "rows": {name: dict(counts) for name, counts in expected.rows_todo.items()},
        "rows_without_files": dict(expected.rows_without_files),
        "bytes": {
            "arrays": dict(expected.array_bytes),
            "features": expected.feature_bytes,
            "on_disk": expected.disk_bytes,
            "free": expected.free_bytes,
        },
        "enough_disk": expected.enough_disk,
        "workers": expected.workers,
        "group_size": expected.group_size,
        "flops": None if measured is None else dict(measured.flops),
        "flops_per_second": None if measured is None else measured.flops_per_second,
        "seconds_per_weld": None
        if measured is None
        else {
            "decode": _seconds(measured.decode),
            "backbones": _seconds(measured.encode),
            "disk": _seconds(measured.write),
        },
        "expected": None
        if times is None
        else {
            "seconds": times.startup + times.run,
            "startup_seconds": times.startup,
            "run_seconds": times.run,
            "side_seconds": dict(times.sides),
            "shared_cores_seconds": times.shared,
            "bottleneck": times.bottleneck,
        },
    }


def _rows_without_files(request: Request, plan: ExtractPlan) -> dict[str, int]:
    modality_of = {spec.name: modality for modality, encoder in request.encoders.items() for spec in encoder.specs}
    counted = Counter(
        name for task in plan.tasks for name in task.write if task.sample.why_absent(modality_of[name]) is not None
    )
    return {name: counted[name] for name in modality_of}


def _seconds(costs: Mapping[str, Cost]) -> dict[str, float]:
    return {name: cost.seconds for name, cost in costs.items()}


def _array_bytes(specs: Sequence[FeatureSetSpec], rows: Mapping[str, int]) -> dict[str, int]:
    return {f"{spec.name}/{array.name}": array.row_bytes * rows[spec.name] for spec in specs for array in spec.arrays}
