"""How does the cost of a store grow with its rows, where the rows themselves cost next to nothing?

A data set of tiny recordings (a file of 96 bytes a weld and modality, every tenth weld without sound) goes through the
real stage one: request, reconcile, plan, decoding in this process, group writer. Only reader and encoder are stand-ins:
they copy the numbers of a file to two small arrays. Measured for each size, in this order:

- extract: an empty store, its arrays, all rows;
- resume: the same again with nothing to do, which looks at every file by size and time;
- open: the store, its index and its statuses;
- info: all that `weldcache info` tells;
- verify: every byte of the store, without the data set.

Printed are seconds, milliseconds a row and files a row; and between a size and the next the exponent e of growth, cost
~ rows^e: 1 where a row costs the same in a large store as in a small one. What is done once makes it smaller, what is
done for every pair of rows makes it 2. What is done on a store, fits, scores and benches, is growth_of_heads.py's.
"""

import argparse
import math
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from harness import describe_machine, print_json

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.describe import describe_store
from weldcache.cache.store import FeatureStore
from weldcache.cache.targets import LABEL, TargetSpec
from weldcache.cache.verification.verify import verify_store
from weldcache.extract.features.kind import Features, Prepared
from weldcache.extract.group_runner import run_plan
from weldcache.extract.pool.decoder import Limits
from weldcache.extract.reconcile import reconcile
from weldcache.extract.request import Request
from weldcache.extract.sources.source import SPLITS, Sample
from weldcache.settings import load_settings

SIZES = (1_000, 10_000, 100_000)
MODALITIES = ("audio", "sensor")
SHAPE = (4, 6)  # of a recording, in float32
GROUP_SIZE = 32
ABSENT_EVERY = 10
_WARM_UP = 64  # rows of a first store, of which no figure is kept
STEPS = ("extract", "resume", "open", "info", "verify")
TARGETS = {f"exponent_{step}": 1.1 for step in STEPS} | {"extract_ms_a_row": 10.0}


@dataclass(frozen=True)
class CopyingReader:
    """Stands for a decoder: the numbers that a file holds."""

    stream: str

    def files(self, sample: Sample) -> tuple[Path, ...]:
        """The one file."""
        return sample.files[self.stream]

    def __call__(self, sample: Sample) -> Prepared:
        """Read them."""
        values = np.fromfile(sample.files[self.stream][0], dtype=np.float32).reshape(SHAPE)
        return Prepared({"values": torch.from_numpy(values)})


@dataclass(frozen=True)
class CopyingEncoder:
    """Stands for a backbone: the numbers, and their mean."""

    modality: str

    @property
    def specs(self) -> Sequence[FeatureSetSpec]:
        """One feature set of two arrays."""
        arrays = [
            ArraySpec("values", SHAPE, ("step", "channel"), "float32"),
            ArraySpec("mean", SHAPE[1:], ("channel",), "float32"),
        ]
        return [FeatureSetSpec(self.modality, arrays, {"decoding": {}})]

    @property
    def reader(self) -> CopyingReader:
        """The half that reads."""
        return CopyingReader(self.modality)

    def load(self) -> None:
        """There is nothing to load."""

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        """Both arrays."""
        values = torch.stack([sample.tensors["values"] for sample in prepared])
        return {self.modality: {"values": values, "mean": values.mean(1)}}

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        """None that count."""
        return 0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rows, the smallest first")
    parser.add_argument("--folder", type=Path, help="the disk to measure on; default is that of temporary files")
    arguments = parser.parse_args()
    seconds: dict[int, dict[str, float]] = {}
    files: dict[int, int] = {}
    for num_rows in (_WARM_UP, *arguments.sizes):
        with tempfile.TemporaryDirectory(prefix="growth-", dir=arguments.folder) as folder:
            seconds[num_rows], files[num_rows] = measure(Path(folder), num_rows=num_rows)
    tell({size: seconds[size] for size in arguments.sizes}, {size: files[size] for size in arguments.sizes})


def measure(folder: Path, *, num_rows: int) -> tuple[dict[str, float], int]:
    """Seconds of every step on a data set of this size, and how many files its store has."""
    request = Request(
        root=folder,
        samples=write_data_set(folder / "data", num_rows=num_rows),
        splits=SPLITS,
        encoders={name: CopyingEncoder(name) for name in MODALITIES},
        constants={},
        limits=Limits(),
        targets=(LABEL, TargetSpec("class", "int8", classes=("good",))),
    )
    path = folder / "features.zarr"
    steps: dict[str, Callable[[], object]] = {
        "extract": lambda: extract(path, request),
        "resume": lambda: extract(path, request),
        "open": lambda: [FeatureStore.open(path).status(name) for name in MODALITIES],
        "info": lambda: describe_store(FeatureStore.open(path)),
        "verify": lambda: verify_store(FeatureStore.open(path)),
    }
    seconds = {}
    for name, step in steps.items():
        started = time.perf_counter()
        step()
        seconds[name] = time.perf_counter() - started
    return seconds, sum(len(names) for _, _, names in os.walk(path))


def write_data_set(folder: Path, *, num_rows: int) -> list[Sample]:
    """Files of random numbers, fifty welds a session."""
    generator = np.random.default_rng(0)
    samples = []
    for row in range(num_rows):
        session, key = f"session_{row // 50:04d}", f"session_{row // 50:04d}/{row:06d}"
        (folder / session).mkdir(parents=True, exist_ok=True)
        absent = {"audio": "there is no file"} if row % ABSENT_EVERY == 0 else {}
        files = {name: (folder / f"{key}.{name}",) for name in MODALITIES if name not in absent}
        for (path,) in files.values():
            generator.standard_normal(SHAPE, dtype=np.float32).tofile(path)
        samples.append(
            Sample(
                key,
                SPLITS[row % 3],
                session,
                files,
                targets={"label": 0, "class": "good"},
                attributes={"CURRENT_A": float(row)},
                absent=absent,
            )
        )
    return samples


def extract(path: Path, request: Request) -> None:
    """Stage one, with a fixed size of groups and nothing measured beforehand."""
    settings = load_settings(overrides=["extract.workers=0", "extract.device=cpu"])
    if not path.exists():
        FeatureStore.create(path, index=request.index)
    store = FeatureStore.open(path)
    reconcile(store, request, refresh=False, relabel=False)
    store.set_batching({"group_size": GROUP_SIZE})
    plan = request.plan(store, group_size=GROUP_SIZE)
    if plan.jobs:
        run_plan(plan, store, request, settings)


def tell(seconds: dict[int, dict[str, float]], files: dict[int, int]) -> None:
    """Print a table, and the JSON line."""
    print(describe_machine())
    print(f"{'rows':>9}  {'files a row':>11}  " + "  ".join(f"{step:>20}" for step in STEPS))
    for num_rows, of_size in seconds.items():
        cells = (f"{of_size[step]:8.2f} s {of_size[step] / num_rows * 1e3:7.3f} ms" for step in STEPS)
        print(f"{num_rows:9,}  {files[num_rows] / num_rows:11.2f}  " + "  ".join(cells))
    ratios: dict[str, float] = {}
    for few, many in pairwise(seconds):
        exponents = {step: math.log(seconds[many][step] / seconds[few][step]) / math.log(many / few) for step in STEPS}
        print(f"{'exponent':>9}  {'':11}  " + "  ".join(f"{exponent:20.2f}" for exponent in exponents.values()))
        ratios |= {f"exponent_{step}": exponent for step, exponent in exponents.items()}  # of the largest in the end
    largest = max(seconds)
    ratios["extract_ms_a_row"] = seconds[largest]["extract"] / largest * 1e3
    ratios["files_a_row"] = files[largest] / largest
    print_json("growth", ratios=ratios, targets=TARGETS)


if __name__ == "__main__":
    main()
