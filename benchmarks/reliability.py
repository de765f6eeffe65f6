"""Is anything lost, false, silent or hanging: under kills, in damaged stores, with damaged media and tables?

Every trial has a seed. Counted as failures: a complete row that is not what it was (lost or false), a command that ends
otherwise after kills than without, a fault of a store that `verify` passes although the store tells something else, a
damaged file that is read as something else without a word, a crash, a hang, a false alarm.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import breaking_files
import breaking_kills
import breaking_stores
from breaking import Commands, Tally
from harness import describe_machine, print_json

from weldcache.extract.sources.welds.synth.pipeline import generate
from weldcache.extract.sources.welds.synth.plan import plan_for_size

_SETTINGS = "\nextract:\n  device: cpu\n  workers: 0\ntrain:\n  device: cpu\n  epochs: 3\n"


def main() -> int:
    """Run the campaign, print its table, and exit with 1 if anything was not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--stores", type=int, default=400, help="Faults of a store.")
    parser.add_argument("--files", type=int, default=1000, help="Damaged media and tables.")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    started, tallies = time.monotonic(), []
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder, Commands() as commands:
        scratch, project = Path(folder), Path(folder, "project")
        generate(project, plan=plan_for_size("tiny", seed=asked.seed), workers=1, preset="demo-random")
        with (project / "weldcache.yaml").open("a") as file:
            file.write(_SETTINGS)
        if asked.files:
            tallies += _told(breaking_files.campaign(project, scratch, trials=asked.files, seed=asked.seed))
        if asked.kills:
            tallies += _told(breaking_kills.campaign(commands, project, scratch, trials=asked.kills, seed=asked.seed))
        if asked.stores:
            commands.run("extract", folder=project, log=scratch / "log.txt", timeout=600)
            store = project / "features.zarr"
            tallies += _told(breaking_stores.campaign(commands, store, scratch, trials=asked.stores, seed=asked.seed))
    num_bad = sum(len(tally.bad) for tally in tallies)
    print(describe_machine())
    print(f"{sum(tally.num_trials for tally in tallies):,} trials in {time.monotonic() - started:.0f} s")
    print_json("reliability", ratios={"failures": num_bad}, targets={"failures": 0})
    return 1 if num_bad else 0


def _told(tallies: Iterator[Tally]) -> list[Tally]:
    """The tallies, a row of the table each, as they come."""
    told = []
    for tally in tallies:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(tally.counts.items()))
        print(f"| {tally.kind} | {tally.num_trials} | {counts} |", flush=True)
        for sentence in tally.bad:
            print(f"  {sentence}", flush=True)
        told.append(tally)
    return told


if __name__ == "__main__":
    sys.exit(main())
