"""What does a store of many rows cost that has everything but the features' bytes: opened, planned, resumed?

A table of samples, fifty a session: each row names the file of measurements of its session and four numbers. From it
the real request and the real store, with index, targets, split and the records of two feature sets (files, hashes,
digests) as the writer makes them; of chunks of features there are none but those of the last rows, which are left
missing. Measured for each size, each step in a process of its own:

- open: the store, its index and its statuses;
- split: the rows of train that are complete in both feature sets;
- plan: all of `weldcache plan --no-probe`, which reads the table and looks at every file by its size and time;
- resume: all of `weldcache extract`, which finds and makes the 256 missing rows;
- info: all that `weldcache info` tells.

Printed are seconds of the processor, and the most memory beside what the process held before; between a size and the
next the exponent e of growth of each, cost ~ rows^e. Fifty rows share a file; a data set with a file a row waits for
its disk more. What the features' own files cost is in growth.py.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from harness import describe_machine, print_json

from weldcache.cache.describe import describe_store
from weldcache.cache.records import Record
from weldcache.cache.status import SourceFile, Status, source_file
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.configs.place import require_folder
from weldcache.evaluate.trials.peak_memory import PeakMemory
from weldcache.extract.estimation.estimate import estimate
from weldcache.extract.pipeline import extract
from weldcache.extract.reconcile import reconcile
from weldcache.extract.request import Request, make_request
from weldcache.settings import Settings, load_settings

SIZES = (10_000, 100_000, 1_000_000)
STEPS = ("open", "split", "plan", "resume", "info")
SESSION = 50  # rows that share a file
MISSING = 256  # of the last rows
NUMBERS = ("a", "b", "c", "d")
TARGETS = {f"exponent_{step}": 1.1 for step in STEPS} | {f"seconds_{step}": 60.0 for step in STEPS}
_BLOCK = 1 << 14  # rows that are recorded together
_SETTINGS = """
data: {source: table, root: ., table: table.csv, key: key, split: split, group: session, label: label,
       attributes: [current], streams: {sensor: file}, vectors: {spectrum: [a, b, c, d]}}
features:
  sensor: {kind: series_statistics, stream: sensor, channels: [current], times: seconds}
  spectrum: {kind: vector, stream: spectrum, size: 4}
extract: {features: [sensor, spectrum], workers: 0, device: cpu}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rows, the smallest first")
    parser.add_argument("--folder", type=Path, help="the disk to measure on; default is that of temporary files")
    parser.add_argument("--step", choices=STEPS, help="one step alone, on the store that is in --folder")
    arguments = parser.parse_args()
    if arguments.step:
        print(json.dumps(measure(arguments.step, settings_in(arguments.folder))))
        return
    measured: dict[int, dict[str, tuple[float, float]]] = {}
    for num_rows in arguments.sizes:
        with tempfile.TemporaryDirectory(prefix="million-", dir=arguments.folder) as name:
            folder = Path(name)
            write_table(folder, num_rows=num_rows)
            write_store(settings_in(folder))
            measured[num_rows] = {step: measured_apart(step, folder) for step in STEPS}
    tell(measured)


def settings_in(folder: Path) -> Settings:
    """Those of the data set in a folder."""
    (folder / "weldcache.yaml").write_text(_SETTINGS)
    return load_settings(folder=folder)


def write_table(folder: Path, *, num_rows: int) -> None:
    """The table, and a file of measurements a session."""
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(num_rows, 1 + len(NUMBERS)))
    for session in range(-(-num_rows // SESSION)):
        lines = (f"{time},{time * session % 7}" for time in range(8))
        (folder / f"{session:06d}.csv").write_text("Time,current\n" + "\n".join(lines) + "\n")
    with (folder / "table.csv").open("w") as file:
        file.write(f"key,split,session,label,file,current,{','.join(NUMBERS)}\n")
        for row, (current, *values) in enumerate(numbers.tolist()):
            session, split = row // SESSION, ("train", "val", "test")[row // SESSION % 3]
            told = ",".join(f"{value:.6f}" for value in values)
            label = int(split != "train" and row % 2)
            file.write(
                f"session_{session:06d}/{row:07d},{split},session_{session:06d},{label},{session:06d}.csv,"
                f"{current:.3f},{told}\n"
            )


def write_store(settings: Settings) -> None:
    """A store of the table with everything recorded of its rows, but of the last."""
    request = make_request(settings, split="all")
    store = FeatureStore.create(folder_of(settings), index=request.index)
    reconcile(store, request, refresh=False, relabel=False)
    store.set_batching({"group_size": 64})
    writer, files = StoreWriter(store), dict[Path, SourceFile]()
    for start in range(0, len(request.samples) - MISSING, _BLOCK):
        rows = range(start, min(start + _BLOCK, len(request.samples) - MISSING))
        writer.record([record for row in rows for record in records_of(row, request, files)])


def folder_of(settings: Settings) -> Path:
    """That of the store."""
    return require_folder(settings.cache.path, what="measures in")


def records_of(row: int, request: Request, files: dict[Path, SourceFile]) -> list[Record]:
    """What the writer records of a complete row, with checksums of no chunk; `files` are those hashed by now."""
    sample = request.samples[row]
    (path,) = sample.files["sensor"]
    if path not in files:
        files[path] = source_file(path, root=request.root)
    return [
        Record("sensor", row, Status.COMPLETE, sources=(files[path],), checksums={"values": row}),
        Record("spectrum", row, Status.COMPLETE, sources=sample.numbers("spectrum"), checksums={"values": row}),
    ]


def measured_apart(step: str, folder: Path) -> tuple[float, float]:
    """Seconds and megabytes of a step in a process of its own."""
    command = [sys.executable, __file__, "--step", step, "--folder", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, megabytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, megabytes


def measure(step: str, settings: Settings) -> tuple[float, float]:
    """Seconds and megabytes of a step, here."""
    path = folder_of(settings)
    both = ("sensor", "spectrum")
    steps: Mapping[str, Callable[[], object]] = {
        "open": lambda: [FeatureStore.open(path).status(name) for name in both],
        "split": lambda: FeatureStore.open(path).rows("train", feature_sets=both),
        "plan": lambda: estimate(settings, measure=False),
        "resume": lambda: extract(settings),
        "info": lambda: describe_store(FeatureStore.open(path)),
    }
    memory, started = PeakMemory.from_now(torch.device("cpu")), time.process_time()
    steps[step]()
    seconds, num_bytes = time.process_time() - started, memory.num_bytes()
    return seconds, math.nan if num_bytes is None else num_bytes / 1e6


def tell(measured: Mapping[int, Mapping[str, tuple[float, float]]]) -> None:
    """Print a table, and the JSON line."""
    print(describe_machine())
    print(f"{'rows':>10}  " + "  ".join(f"{step:>20}" for step in STEPS))
    for num_rows, of_size in measured.items():
        cells = (f"{seconds:8.2f} s {megabytes:6.0f} MB" for seconds, megabytes in of_size.values())
        print(f"{num_rows:10,}  " + "  ".join(f"{cell:>20}" for cell in cells))
    ratios: dict[str, float] = {}
    for few, many in pairwise(measured):
        exponents = []
        for step in STEPS:
            of_time, of_memory = (
                math.log(after / max(before, 1e-9)) / math.log(many / few)
                for before, after in zip(measured[few][step], measured[many][step], strict=True)
            )
            # Of the largest in the end.
            ratios |= {f"exponent_{step}": of_time, f"exponent_megabytes_{step}": of_memory}
            exponents.append(f"{of_time:8.2f} s {of_memory:6.2f} MB")
        print(f"{'exponent':>10}  " + "  ".join(f"{cell:>20}" for cell in exponents))
    largest = measured[max(measured)]
    ratios |= {f"seconds_{step}": seconds for step, (seconds, _) in largest.items()}
    print_json("million_rows", ratios=ratios, targets=TARGETS)


if __name__ == "__main__":
    main()
