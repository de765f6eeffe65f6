"""Side-by-side measuring: both sides in one process, taking turns, so that a busy moment of the machine hits both.

A script in this folder answers one question. It prints a table, and as its last line one JSON object with the ratios
it measured and their targets.
"""

import datetime
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch


def measure_in_turns(
    sides: Mapping[str, Callable[[], object]], *, num_rounds: int, num_warm_ups: int = 1
) -> dict[str, list[float]]:
    """Seconds of each run of each side, in the order A B A B ..., after warm-up rounds that are not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(num_warm_ups + num_rounds):
        for name, run in sides.items():
            started = time.perf_counter()
            run()
            if round_number >= num_warm_ups:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def ratio_of_medians(seconds: Mapping[str, Sequence[float]], *, slow: str, fast: str) -> float:
    """How many times faster `fast` is than `slow`."""
    return statistics.median(seconds[slow]) / statistics.median(seconds[fast])


def report(
    benchmark: str,
    *,
    seconds: Mapping[str, Sequence[float]],
    ratios: Mapping[str, float],
    targets: Mapping[str, float],
) -> None:
    """Print the machine, a line with the median and the range of each side, the ratios, and the JSON line."""
    print(describe_machine())
    width = max(len(name) for name in (*seconds, *ratios))
    print(f"{'':{width}}  {'median':>12}  {'lowest':>12}  {'highest':>12}  runs")
    for name, runs in seconds.items():
        cells = (f"{value * 1e6:9,.0f} us" for value in (statistics.median(runs), min(runs), max(runs)))
        print(f"{name:{width}}  {'  '.join(cells)}  {len(runs):4}")
    for name, ratio in ratios.items():
        target = f"  (target {targets[name]:g})" if name in targets else ""
        print(f"{name:{width}}  {ratio:.1f} x{target}")
    print_json(benchmark, ratios=ratios, targets=targets)


def print_json(benchmark: str, *, ratios: Mapping[str, float], targets: Mapping[str, float]) -> None:
    """Print the line that a script reads: the ratios and their targets."""
    rounded = {name: round(ratio, 3) for name, ratio in ratios.items()}
    print(json.dumps({"benchmark": benchmark, "ratios": rounded, "targets": dict(targets)}))


def describe_machine() -> str:
    """Processor, cores that this process may use, versions, date: what a figure means nothing without."""
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor_name()}, {num_cores} cores, {torch.get_num_threads()} torch threads, torch {torch.__version__}, "
        f"Python {platform.python_version()}, {datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}"
    )


def _processor_name() -> str:
    cpu_info = Path("/proc/cpuinfo")
    lines = cpu_info.read_text().splitlines() if cpu_info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
