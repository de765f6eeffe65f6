"""Does memory stay the same when a data set is four times as large, in extract, verify and info?

Each command runs as a process of its own, on a quarter of a synthetic data set and on all of it. What is measured is
the largest resident set of the main process and of each worker, as the kernel keeps count of it (Linux), summed.
"""

import argparse
import contextlib
import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
from harness import describe_machine, print_json

from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import plan_for_size

COMMANDS = {"extract": ["extract"], "verify": ["verify", "--live", "2"], "info": ["info", "--json"]}
TARGET = 1.1  # of the peak, four times the welds over a quarter of them
_INTERVAL = 0.01  # seconds between two looks


def peak_memory(command: Sequence[str], *, folder: Path) -> int:
    """Bytes that a command's processes held at most, each counted with the most that it ever held."""
    arguments = [sys.executable, "-m", "weldcache", *command]
    with subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, _most_held(process.pid))
            time.sleep(_INTERVAL)
    if process.returncode:
        raise SystemExit(f"weldcache {' '.join(command)} failed with exit status {process.returncode}")
    return peak


def _most_held(pid: int) -> int:
    total = 0
    with contextlib.suppress(psutil.Error):
        for member in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            with contextlib.suppress(OSError, StopIteration):
                lines = Path(f"/proc/{member.pid}/status").read_text().splitlines()
                total += 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    return total


def cut_to_a_quarter(project: Path) -> int:
    """Leave every fourth weld in the manifest; returns how many that are."""
    path = project / "manifest.csv"
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows[::4]])
    return len(rows[::4])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "small"), default="small", help="Size of the synthetic data set.")
    arguments = parser.parse_args()
    peaks: dict[str, list[int]] = {name: [] for name in COMMANDS}
    num_welds = []
    with tempfile.TemporaryDirectory() as folder:
        for quarter in (True, False):
            project = Path(folder, "quarter" if quarter else "whole")
            made = generate(project, plan=plan_for_size(arguments.size), workers=2, preset="demo-random")
            num_welds.append(cut_to_a_quarter(project) if quarter else sum(made.num_welds.values()))
            for name, command in COMMANDS.items():
                peaks[name].append(peak_memory(command, folder=project))
    print(describe_machine())
    for name, (fewer, more) in peaks.items():
        grown = (more - fewer) / (num_welds[1] - num_welds[0])
        print(
            f"{name:8} {num_welds[0]} welds {fewer / 1e6:8.1f} MB   {num_welds[1]} welds {more / 1e6:8.1f} MB   "
            f"{grown / 1e3:+.1f} kB a weld"
        )
    ratios = {f"{name}_4n_over_n": more / fewer for name, (fewer, more) in peaks.items()}
    print_json("memory", ratios=ratios, targets=dict.fromkeys(ratios, TARGET))


if __name__ == "__main__":
    main()
