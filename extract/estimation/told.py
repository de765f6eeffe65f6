"""What an extraction will cost, as it is told: tables for a terminal of eighty columns, JSON, and a few lines."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from ...tables import make_table
from ...wording import count_of, format_seconds, format_size
from ..sources.source import SPLITS
from .estimate import Estimate, Times
from .speeds import Cost, Speeds


def estimate_tables(expected: Estimate, *, details: bool) -> Iterator[RenderableType]:
    """What there is to do and how long it takes; with `details` rows, bytes, backbones and sides. What was not measured
    is left out."""
    if expected.num_todo and not details:
        yield from map(Text, describe(expected))
        if not expected.enough_disk:
            yield _too_small()
        yield Text("--verbose shows rows, arrays, and what each feature and each side takes.", style="dim")
        return
    yield Text(f"{expected.store_path}: {samples_to_do(expected)}", style="bold")
    if expected.num_masked:
        yield Text(
            f"{count_of(expected.num_masked, expected.noun)} with masks of defects; no feature is made from them."
        )
    if not expected.num_todo:
        return
    yield _rows_table(expected)
    yield _bytes_table(expected)
    if not expected.enough_disk:
        yield _too_small()
    if expected.speeds is not None and expected.times is not None:
        yield _speeds_table(expected.speeds, noun=expected.noun)
        yield _sides_table(expected, expected.speeds, expected.times)
        yield from _expected_time(expected.times)


def _too_small() -> Text:
    return Text("The disk is too small: `weldcache extract` will not start.", style="bold red")


def _rows_table(expected: Estimate) -> Table:
    splits = [split for split in SPLITS if any(split in counts for counts in expected.rows_todo.values())]
    table = make_table("rows to do", left=["features"], right=[*splits, "all", "without files"])
    for name, counts in expected.rows_todo.items():
        numbers = [counts.get(split, 0) for split in splits]
        table.add_row(name, *map(str, [*numbers, sum(numbers), expected.rows_without_files[name]]))
    return table


def _bytes_table(expected: Estimate) -> Table:
    table = make_table("bytes to write", left=["array"], right=["bytes"])
    for name, count in expected.array_bytes.items():
        table.add_row(name, format_size(count))
    table.add_section()
    table.add_row("all", format_size(expected.feature_bytes))
    table.add_row("needed on the disk, rounded up to its blocks", format_size(expected.disk_bytes))
    table.add_row("free", format_size(expected.free_bytes))
    return table


def _speeds_table(measured: Speeds, *, noun: str) -> Table:
    headings = ["to decode", "through the backbone", "operations", "operations/s"]
    table = make_table(f"each {noun}", left=["feature"], right=headings)
    for feature, decode in measured.decode.items():
        flops, encode = measured.flops[feature], measured.encode.get(feature)
        table.add_row(
            feature,
            _duration(decode.seconds),
            "fails" if encode is None else _duration(encode.seconds),
            format_size(flops, "FLOP") if flops else "",
            format_size(flops / encode.seconds, "FLOP/s") if flops and encode else "",
        )
    return table


def _sides_table(expected: Estimate, measured: Speeds, times: Times) -> Table:
    noun = expected.noun
    means = {
        "decode": f"{expected.workers} processes" if expected.workers else "the main process",
        "backbones": f"{expected.group_size} {noun}s at once, {format_size(measured.flops_per_second, 'FLOP/s')}",
        "disk": f"{format_size(expected.feature_bytes / times.sides['disk'])}/s, synced" if times.sides["disk"] else "",
    }
    table = make_table("sides, each alone", left=["side", "with"], right=[f"{noun}s/s", "time", ""])
    for side, seconds in times.sides.items():
        rate = expected.samples_per_second.get(side)
        mark = "bottleneck" if side == times.bottleneck else ""
        table.add_row(side, means[side], f"{rate:.3g}" if rate else "", format_seconds(seconds), mark)
    return table


def _expected_time(times: Times) -> Iterator[Text]:
    text = Text(f"Expected: {format_seconds(times.run)}", style="bold")
    text.append(f", after {format_seconds(times.startup)} to load the backbones and measure.", style="not bold")
    yield text
    if times.shared > max(times.sides.values()):
        yield Text("The sides share the cores, and so take longer than each alone.")


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else format_seconds(seconds)


def to_json(expected: Estimate) -> dict[str, Any]:
    """As plain JSON values, for `weldcache plan --json`, whose help lists the keys."""
    measured, times = expected.speeds, expected.times
    return {
        "store": str(expected.store_path),
        "samples": {"asked": expected.num_rows, "to_do": expected.num_todo, "with_masks": expected.num_masked},
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
        "seconds_per_sample": None
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


def _seconds(costs: Mapping[str, Cost]) -> dict[str, float]:
    return {name: cost.seconds for name, cost in costs.items()}


def describe(expected: Estimate) -> list[str]:
    """What `extract` says before it starts: three lines, or the first of them where nothing was measured."""
    todo = (
        f"{expected.store_path}: {samples_to_do(expected)}, "
        f"{format_size(expected.feature_bytes)} to write, {format_size(expected.free_bytes)} free."
    )
    measured, times = expected.speeds, expected.times
    if measured is None or times is None:
        return [todo]
    noun = expected.noun
    flops = ", ".join(f"{feature} {format_size(count, 'FLOP')}" for feature, count in measured.flops.items() if count)
    speeds = ", ".join(f"{side} {rate:.3g}" for side, rate in expected.samples_per_second.items())
    return [
        todo,
        f"Each {noun}: {flops or 'no backbone'}. {noun.capitalize()}s/s of each side alone: {speeds}.",
        f"Expected: about {format_seconds(times.run)}; the bottleneck is {times.bottleneck}.",
    ]


def samples_to_do(expected: Estimate) -> str:
    """How much is left of what is asked for: `12 of 38 samples to do`."""
    return f"{expected.num_todo:,} of {count_of(expected.num_rows, expected.noun)} to do"
