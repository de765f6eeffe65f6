"""How many trials a minute does a sweep try, against the same trials as processes of their own?

A store of random features is made (no backbone runs). The same settings, a grid of learning rates and seeds, are
trained in three ways, one after another and as often as asked for, each as somebody would run it:

- apart: a `weldcache train` for each trial, as many at a time as `--jobs` says, each importing, opening and loading for
  itself;
- shared: `weldcache sweep --jobs`, as many processes with one copy of the features each;
- together: the same with `--together`, each process training its trials as one stacked model.

For two recipes: the autoencoder of frames, whose step is a handful of small operations, and Causal-FiLM at the demo's
size, whose step is arithmetic. Printed are seconds on the clock, start of the processes included, medians.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import median

import numpy as np
import torch
import yaml
from harness import describe_machine, print_json

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec, StorageType
from weldcache.cache.index import class_and_label, index_with
from weldcache.cache.store import FeatureStore
from weldcache.cache.tensors import to_storage
from weldcache.cache.writer import StoreWriter

GROUPS = {("train", 0): 160, ("val", 0): 60, ("val", 1): 66, ("test", 0): 10, ("test", 1): 10}
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
WAYS = ("apart", "shared", "together")
TARGETS = {"shared_over_apart": 4.0, "together_over_apart": 4.0}
ARRAYS: Mapping[str, Mapping[str, tuple[tuple[int, ...], StorageType]]] = {
    "frames": {"embedding": ((8, 64), "float16")},
    "video": {"tokens": ((16, 48), "float16")},
    "audio": {"tokens": ((40, 48), "float16"), "tokens_length": ((), "int32")},
    "image/block_2": {"patch_tokens": ((3, 49, 48), "float16"), "views_present": ((3,), "uint8")},
    "image/block_4": {"patch_tokens": ((3, 49, 48), "float16"), "views_present": ((3,), "uint8")},
    "sensor": {"values": ((64, 6), "float32")},
}
RECIPES: Mapping[str, Mapping[str, object]] = {
    "video_ae": {"recipe": {"name": "video_ae"}},
    "causal_film": {
        "recipe": {"name": "causal_film", "d_model": 128, "sensor_hidden": 32, "blocks": [2, 4], "loss": {"text": 0.0}}
    },
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=16, help="settings that are tried")
    parser.add_argument("--epochs", type=int, default=20, help="of each trial")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is measured")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time")
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=list(RECIPES))
    arguments = parser.parse_args()
    print(describe_machine())
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        make_store(Path(folder) / "features.zarr")
        for recipe in arguments.recipes:
            found = measure(Path(folder), recipe, arguments)
            ratios |= {name if recipe == "video_ae" else f"{name}_{recipe}": value for name, value in found.items()}
    print_json("sweep", ratios=ratios, targets=TARGETS)


def make_store(path: Path) -> None:
    """Features of normals and defects, drawn at random: times do not depend on what they say."""
    generator = np.random.default_rng(0)
    parts, labels = zip(*(group for group, count in GROUPS.items() for _ in range(count)), strict=True)
    targets = class_and_label(np.array(["broken" if label else "good" for label in labels]), np.array(labels))
    keys = [f"{row:04d}" for row in range(len(parts))]
    index = index_with(keys=keys, parts=parts, groups=keys, targets=targets, attributes={})
    store = FeatureStore.create(path, index=index)
    rows = list(range(len(keys)))
    for name, arrays in ARRAYS.items():
        dims = ("a", "b", "c")
        specs = [ArraySpec(array, shape, dims[: len(shape)], dtype) for array, (shape, dtype) in arrays.items()]
        store.add_feature_set(FeatureSetSpec(name, specs, {"backbone": {"model": "drawn"}}))
        values = {
            spec.name: to_storage(torch.from_numpy(drawn(spec, len(rows), generator)), spec, owners=keys)
            for spec in store.arrays(name).values()
        }
        StoreWriter(store).write(name, rows, values, sources=[()] * len(rows), notes=[""] * len(rows))


def drawn(spec: ArraySpec, count: int, generator: np.random.Generator) -> np.ndarray:
    """Numbers, or where numbers say how much is real, all of it."""
    shape = (count, *spec.shape)
    if spec.name == "tokens_length":
        return np.full(shape, 40)
    return np.ones(shape) if spec.name == "views_present" else generator.normal(size=shape)


def measure(folder: Path, recipe: str, asked: argparse.Namespace) -> dict[str, float]:
    """Seconds of each way, in turns; the ratios of their medians."""
    trials, epochs, jobs = asked.trials, asked.epochs, asked.jobs
    train = {"device": "cpu", "epochs": epochs, "patience": epochs, "warmup_epochs": 0}
    settings = {"cache": {"path": "features.zarr"}, **RECIPES[recipe], "train": train}
    (folder / "weldcache.yaml").write_text(yaml.safe_dump(settings))
    points = list(product(RATES, range(-(-trials // len(RATES)))))[:trials]
    space = {
        "train.lr": {"kind": "choice", "values": list(RATES)},
        "train.seed": {"kind": "choice", "values": sorted({seed for _, seed in points})},
    }
    told = {"trials": trials, "sampler": "grid", "pruner": "none", "seeds": 0, "space": space}
    (folder / "grid.yaml").write_text(yaml.safe_dump(told, sort_keys=False))
    commands: Mapping[str, Callable[[str], list[list[str]]]] = {
        "apart": lambda name: [
            ["train", "--set", f"train.lr={lr}", "--set", f"train.seed={seed}", "--run", f"{name}-{place}"]
            for place, (lr, seed) in enumerate(points)
        ],
        "shared": lambda name: [sweep_command(name, jobs=jobs, together=1)],
        "together": lambda name: [sweep_command(name, jobs=jobs, together=-(-trials // jobs))],
    }
    clock: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(asked.rounds):
        for way in WAYS:
            clock[way].append(run_all(folder, commands[way](f"{recipe}-{way}-{turn}"), jobs=jobs))
    for way in WAYS:
        rate = 60 * trials / median(clock[way])
        print(
            f"{recipe:12} {way:9} {trials} trials of {epochs} epochs: {median(clock[way]):7.1f} s "
            f"({min(clock[way]):.1f} to {max(clock[way]):.1f}), {rate:6.1f} a minute"
        )
    return {f"{way}_over_apart": median(clock["apart"]) / median(clock[way]) for way in WAYS[1:]}


def sweep_command(name: str, *, jobs: int, together: int) -> list[str]:
    """A sweep over the grid."""
    return ["sweep", "grid.yaml", "--name", name, "--jobs", str(jobs), "--together", str(together)]


def run_all(folder: Path, commands: Sequence[Sequence[str]], *, jobs: int) -> float:
    """Run commands, so many at a time; seconds on the clock."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    waiting, running = list(commands), list[subprocess.Popen[bytes]]()
    while waiting or running:
        while waiting and len(running) < jobs:
            command = [sys.executable, "-m", "weldcache", *waiting.pop(0)]
            running.append(
                subprocess.Popen(
                    command, cwd=folder, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            )
        time.sleep(0.02)
        for done in [process for process in running if process.poll() is not None]:
            assert done.returncode == 0, f"{done.args!r} failed"
            running.remove(done)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
