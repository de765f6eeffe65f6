"""Does stage one keep its slowest side busy: are welds/s of the whole at least 0.9 of those of that side alone?

The sides are decoding, backbones and disk. Each has in the whole what it has alone: one decode process, one thread for
the backbones, one writer; so two cores are enough to measure on, and the cores are hardly what the sides compete for.
Stores are made beforehand. Once with all of the demo's small backbones, once with a full-size one (AST, random weights)
for the sound alone.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from harness import measure_in_turns, report

from weldcache.cache.store import FeatureStore
from weldcache.extract.backbones.random_backbone import save_random_backbone
from weldcache.extract.batching import AdaptiveEncoder, Encoded, encode_group
from weldcache.extract.features.kind import Prepared
from weldcache.extract.group_runner import run_plan
from weldcache.extract.group_writer import GroupWriter
from weldcache.extract.plan import ExtractPlan
from weldcache.extract.pool.decode_pool import DecodePool
from weldcache.extract.pool.read_job import ReadJob
from weldcache.extract.reconcile import reconcile
from weldcache.extract.request import Request, make_request
from weldcache.settings import Settings, load_settings

TARGET = 0.9
_WARM_UPS = 1
WHOLE, SIDES = "whole", ("decode", "backbones", "disk")


@dataclass
class Sides:
    """One extraction, whole and side by side, of the first `num_groups` groups of a data set."""

    folder: Path
    settings: Settings
    num_groups: int | None
    num_stores: int

    def __post_init__(self) -> None:
        self.request: Request = make_request(self.settings, split="all")
        self.group_size = int(self.settings.extract.batch_size)
        for encoder in self.request.encoders.values():
            encoder.load()
        whole = self.request.plan(None, group_size=self.group_size)
        groups = whole.groups[: self.num_groups]
        self.plan = ExtractPlan(groups, sum(map(len, groups)), whole.rows_todo)
        self.read: Sequence[Sequence[ReadJob]] = list(self.decoded())
        self.encoded = [self.encode(group) for group in self.read]
        self.stores = iter([self.new_store(number) for number in range(self.num_stores)])

    def decoded(self) -> Sequence[Sequence[ReadJob]]:
        """The decode side alone."""
        readers = {name: encoder.reader for name, encoder in self.request.encoders.items()}
        with DecodePool(readers, workers=1, root=self.request.root, limits=self.request.limits) as pool:
            return list(pool.read(self.plan.groups))

    def encode(self, group: Sequence[ReadJob]) -> dict[str, Encoded]:
        """A group through every backbone."""
        made = {}
        for name, encoder in self.request.encoders.items():
            readable = {item.job.row: item.prepared[name] for item in group}
            prepared = {row: found for row, found in readable.items() if isinstance(found, Prepared)}
            sets = frozenset(spec.name for spec in encoder.specs)
            made[name] = encode_group(AdaptiveEncoder(encoder, name, self.group_size), prepared, feature_sets=sets)
        return made

    def run(self, side: str) -> None:
        """One side alone, or the whole."""
        if side == "decode":
            self.decoded()
        elif side == "backbones":
            for group in self.read:
                self.encode(group)
        else:
            store = next(self.stores)
            if side == WHOLE:
                run_plan(self.plan, store, self.request, self.settings)
                return
            names = {name: [spec.name for spec in encoder.specs] for name, encoder in self.request.encoders.items()}
            with GroupWriter(store, names) as writer:
                for group, made in zip(self.read, self.encoded, strict=True):
                    writer.write(group, made, lambda: 0.0)

    def new_store(self, number: int) -> FeatureStore:
        """An empty store."""
        path = self.folder / f"features-{number}.zarr"
        store = FeatureStore.create(path, index=self.request.index)
        reconcile(store, self.request, refresh=False, relabel=False)
        store.set_batching({"group_size": self.group_size})
        return store


def measured(sides: Sides, *, num_rounds: int) -> dict[str, list[float]]:
    """Seconds of each side and of the whole, in turns."""
    runs: dict[str, Callable[[], object]] = {name: partial(sides.run, name) for name in (*SIDES, WHOLE)}
    return measure_in_turns(runs, num_rounds=num_rounds, num_warm_ups=_WARM_UPS)


def settings_of(project: Path, *overrides: str) -> Settings:
    """Those of the demo, with one decode process and a thread for the backbones."""
    return load_settings(folder=project, overrides=["extract.workers=1", "extract.batch_size=4", *overrides])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "small"), default="small", help="Size of the synthetic data set.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full-size-groups", type=int, default=8, help="Groups of four welds through full-size AST.")
    parser.add_argument("--skip-full-size", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        project = folder / "project"
        # In a process of its own: the fork server that it would leave here has not imported what decoding needs.
        synth = [sys.executable, "-m", "weldcache", "synth", str(project), "--size", arguments.size]
        synth += ["--preset", "demo-random"]
        subprocess.run(synth, check=True)
        cases: dict[str, tuple[Sequence[str], int | None]] = {"demo": ((), None)}
        if not arguments.skip_full_size:
            audio = save_random_backbone(folder / "ast", family="ast", scale="full", seed=0)
            only_audio = ["extract.features=[audio]", f"features.audio.model={audio}"]
            cases["full_size"] = only_audio, arguments.full_size_groups
        for kind, (overrides, num_groups) in cases.items():
            num_stores = 2 * (arguments.rounds + _WARM_UPS)  # of the disk alone and of the whole
            stores = Path(tempfile.mkdtemp(dir=folder))
            sides = Sides(stores, settings_of(project, *overrides), num_groups, num_stores)
            found = measured(sides, num_rounds=arguments.rounds)
            seconds |= {f"{kind}, {side}": runs for side, runs in found.items()}
            slowest = max(median(found[side]) for side in SIDES)
            ratios[f"{kind}_over_slowest_side"] = slowest / median(found[WHOLE])
            print(f"{kind}: {sides.plan.num_rows} welds, {sides.plan.num_rows / median(found[WHOLE]):.2f} welds/s")
    report("extract_overlap", seconds=seconds, ratios=ratios, targets=dict.fromkeys(ratios, TARGET))


if __name__ == "__main__":
    main()
