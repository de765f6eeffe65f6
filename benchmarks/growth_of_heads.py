"""How does the cost of stage two grow with the rows of a store: fit, score, judge, and a bench of two detectors?

A store of vectors of 256 numbers, fifty rows a group, a third of the rows to train on; half of the others are defects.
Measured for each size, in this order, after a first store of which no figure is kept:

- fit: `train` of a Gaussian, features read from the store, validation and the run's files included;
- score: all of test by that run, features read from the store;
- judge: validation and test scored and judged, with controls and intervals that know groups;
- bench: a list of a Gaussian and of nearest neighbours in a bank of 2,000, from nothing to its tables.

Printed are seconds of the processor, milliseconds a row, and between a size and the next the exponent e of growth,
cost ~ rows^e.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from harness import describe_machine, print_json

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.index import class_and_label, index_with
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.evaluate.judging import background_of, judge_split
from weldcache.evaluate.scoring import score_split, scorer_of
from weldcache.evaluate.tasks.anomaly.judge import AnomalyJudge
from weldcache.evaluate.trials.bench import bench
from weldcache.evaluate.trials.variant_list import load_variant_list
from weldcache.settings import Settings, load_settings
from weldcache.train.pipeline import train
from weldcache.train.runs.folder import RunFolder
from weldcache.train.runs.trained_run import load_run

SIZES = (1_000, 4_000, 16_000)
WIDTH = 256
GROUP_SIZE = 50
STEPS = ("fit", "score", "judge", "bench")
TARGETS = {f"exponent_{step}": 1.1 for step in STEPS}
_WARM_UP = 500
_BLOCK = 500  # rows written at a time
_LIST = """
seeds: [0]
variants:
  gaussian: {set: {recipe.name: gaussian}}
  nearest: {set: {recipe.name: nearest, recipe.bank: 2000}}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of rows, the smallest first")
    parser.add_argument("--folder", type=Path, help="the disk to measure on; default is that of temporary files")
    arguments = parser.parse_args()
    seconds: dict[int, dict[str, float]] = {}
    for num_rows in (_WARM_UP, *arguments.sizes):
        with tempfile.TemporaryDirectory(prefix="growth-", dir=arguments.folder) as folder:
            write_store(Path(folder, "features.zarr"), num_rows=num_rows)
            seconds[num_rows] = measure(Path(folder))
    tell({size: seconds[size] for size in arguments.sizes})


def write_store(path: Path, *, num_rows: int) -> None:
    """Normals around one centre and defects around another."""
    generator = np.random.default_rng(0)
    parts = [("train", "val", "test")[row % 3] for row in range(num_rows)]
    labels = np.array([int(part != "train" and row % 2) for row, part in enumerate(parts)])
    index = index_with(
        keys=[f"{row:06d}" for row in range(num_rows)],
        parts=parts,
        groups=[f"session_{row // GROUP_SIZE}" for row in range(num_rows)],
        targets=class_and_label(np.where(labels, "bad", "good"), labels),
        attributes={"current": generator.normal(size=num_rows).tolist()},
    )
    store = FeatureStore.create(path, index=index)
    store.add_feature_set(FeatureSetSpec("image", [ArraySpec("mean", (WIDTH,), ("dim",), "float16")], {}))
    writer = StoreWriter(store)
    for start in range(0, num_rows, _BLOCK):
        rows = range(start, min(start + _BLOCK, num_rows))
        values = generator.normal(size=(len(rows), WIDTH)) + 0.1 * labels[rows.start : rows.stop, None]
        stored = {"mean": values.astype(np.float16)}
        writer.write("image", list(rows), stored, sources=[()] * len(rows), notes=[""] * len(rows))


def measure(folder: Path) -> dict[str, float]:
    """Seconds of the processor for every step, which another program beside it does not change."""
    set_to = ["recipe.name=gaussian", "recipe.array=image/mean", "train.device=cpu"]
    settings = load_settings(overrides=set_to, folder=folder)
    run = folder / "runs" / "one"
    (folder / "two.yaml").write_text(_LIST)
    steps: dict[str, Callable[[], object]] = {
        "fit": lambda: train(settings, run_name="one", overwrite=False, command="growth"),
        "score": lambda: score_split(scorer_of(load_run(run), cache=None, device="cpu"), "test"),
        "judge": lambda: judge(RunFolder(run)),
        "bench": lambda: run_bench(folder, settings),
    }
    seconds = {}
    for name, step in steps.items():
        started = time.process_time()
        step()
        seconds[name] = time.process_time() - started
    return seconds


def judge(run: RunFolder) -> object:
    """Test, as `weldcache eval` judges it, without writing a report."""
    trained, judging = load_run(run.path), AnomalyJudge()
    scorer = scorer_of(trained, cache=None, device="cpu")
    background = background_of(judging, scorer, settings=trained.settings.evaluate)
    return judge_split(judging, scorer, "test", background=background)


def run_bench(folder: Path, settings: Settings) -> None:
    """The list of two, with all that `weldcache bench` does."""
    found = bench(
        load_variant_list(str(folder / "two.yaml")),
        overrides=["recipe.array=image/mean"],
        base=settings,
        seeds=None,
        split="test",
        overwrite=False,
        keep_weights=False,
        command="growth",
    )
    assert found.complete, found.document


def tell(seconds: Mapping[int, Mapping[str, float]]) -> None:
    """Print a table, and the JSON line."""
    print(describe_machine())
    print(f"{'rows':>9}  " + "  ".join(f"{step:>20}" for step in STEPS))
    for num_rows, of_size in seconds.items():
        cells = (f"{of_size[step]:8.2f} s {of_size[step] / num_rows * 1e3:7.3f} ms" for step in STEPS)
        print(f"{num_rows:9,}  " + "  ".join(cells))
    ratios: dict[str, float] = {}
    for few, many in pairwise(seconds):
        exponents = exponents_of(seconds[few], seconds[many], rows=(few, many))
        print(f"{'exponent':>9}  " + "  ".join(f"{exponent:20.2f}" for exponent in exponents.values()))
        ratios |= {f"exponent_{step}": exponent for step, exponent in exponents.items()}  # of the largest in the end
    print_json("growth_of_heads", ratios=ratios, targets=TARGETS)


def exponents_of(few: Mapping[str, float], many: Mapping[str, float], *, rows: Sequence[int]) -> dict[str, float]:
    """By which power of the rows each step grew."""
    return {step: math.log(many[step] / few[step]) / math.log(rows[1] / rows[0]) for step in STEPS}


if __name__ == "__main__":
    main()
