"""What do engines cost? Two workers of each engine on spans of about two seconds, beside the bare loop over the spans.

The backbone sleeps, so that the work is the same whatever else the machine does. Of each worker, the time from the
beginning of its first span to the end of its last is counted: not its start, but all waiting between spans.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from harness import describe_machine, print_json

import weldcache
from weldcache.atomic import joint_folder, locked_folder
from weldcache.extract.engines.spans import SpanWorker, cut_spans
from weldcache.extract.prepare import ask, opened_store, prepare, require_store
from weldcache.settings import Settings, load_settings

TARGET = 0.1
WORKERS = 2
GROUPS_A_SPAN = 8

KIND = """
import time
from typing import Literal
from pydantic import Field
from weldcache.extract.features.pixels import PixelsEncoder
from weldcache.extract.features.settings import PixelsSettings

class TimedSettings(PixelsSettings):
    kind: Literal["timed"] = Field("timed", description="Pixels, by an encoder that takes its time.")
    seconds: float = Field(0.25, description="That each sample takes.")

class TimedEncoder(PixelsEncoder):
    Settings = TimedSettings

    def __init__(self, name, settings, tools):
        super().__init__(name, settings)
        self.seconds = settings.seconds

    def encode(self, prepared, *, feature_sets):
        time.sleep(self.seconds * len(prepared))
        return super().encode(prepared, feature_sets=feature_sets)
"""


def install_kind(site: Path) -> None:
    """The kind `timed`, as an installed package brings it."""
    (site / "timed-1.dist-info").mkdir(parents=True)
    (site / "timed.py").write_text(KIND)
    (site / "timed-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: timed\nVersion: 1\n")
    (site / "timed-1.dist-info" / "entry_points.txt").write_text("[weldcache.features]\ntimed = timed:TimedEncoder\n")


def write_pictures(root: Path, *, number: int) -> None:
    """A data set of as many pictures, half of them defects."""
    generator = np.random.default_rng(0)
    for place in range(number):
        folder = root / ("good" if place % 2 else "bad")
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f"{place:04d}.png"), generator.integers(0, 255, (16, 16, 3), dtype=np.uint8))


def settings_of(root: Path, cache: Path, seconds: float) -> list[str]:
    """Overrides: samples one by one, decoded by the worker itself."""
    return [
        f"data.root={json.dumps(str(root))}",
        f"cache.path={json.dumps(str(cache))}",
        "features.timed.kind=timed",
        f"features.timed.seconds={seconds}",
        "extract.features=[timed]",
        "extract.batch_size=1",
        "extract.workers=0",
        "extract.device=cpu",
    ]


def bare_loop(settings: Settings) -> float:
    """Seconds of the spans one after the other in this process, told to nobody."""
    asked = ask(settings, split="all", refresh=False, relabel=False)
    require_store(asked)
    with locked_folder(asked.folder):
        store = opened_store(asked)
        request, _ = prepare(store, asked)
        joint_folder(asked.folder).mkdir()
        with SpanWorker(store, request, settings) as work:
            started = time.perf_counter()
            for span in cut_spans(len(work.groups), workers=WORKERS):
                work(span, on_group=lambda _: None)
            return time.perf_counter() - started


def by_engine(engine: str, overrides: list[str], cache: Path, environment: Mapping[str, str]) -> float:
    """Seconds of all workers of an engine, from each one's first span to the end of its last."""
    options = [word for override in overrides for word in ("--set", override)]
    command = [sys.executable, "-m", "weldcache", "extract", *options, "--engine", engine, "--workers", str(WORKERS)]
    ranks: list[dict[str, str]] = [{}]
    if engine == "rank":
        ranks = [{"RANK": str(rank), "WORLD_SIZE": str(WORKERS)} for rank in range(WORKERS)]
    started = [subprocess.Popen(command, env={**environment, **rank}, stderr=subprocess.PIPE) for rank in ranks]
    for process in started:
        said = process.communicate()[1].decode()
        assert process.returncode == 0, said
    total = 0.0
    for path in joint_folder(cache).glob("worker-*.jsonl"):
        events = [json.loads(line) for line in path.read_text().splitlines()]
        times = [event["at"] for event in events if "began" in event or "finished" in event]
        total += times[-1] - times[0] if times else 0.0
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=12, help="of eight samples each")
    parser.add_argument("--seconds", type=float, default=2.0, help="that a span takes")
    parser.add_argument("--engines", nargs="+", default=["local", "rank", "ray"])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        install_kind(folder / "site")
        write_pictures(folder / "pictures", number=options.spans * GROUPS_A_SPAN)
        source = Path(weldcache.__file__).parent / ".import"
        environment = {**os.environ, "PYTHONPATH": f"{folder / 'site'}:{source}", "OMP_NUM_THREADS": "1"}
        sys.path.insert(0, str(folder / "site"))
        sides: dict[str, list[float]] = {side: [] for side in ("bare", *options.engines)}
        for number in range(options.rounds):
            for side, seconds in sides.items():
                cache = folder / f"{side}-{number}.zarr"
                overrides = settings_of(folder / "pictures", cache, options.seconds / GROUPS_A_SPAN)
                if side == "bare":
                    seconds.append(bare_loop(load_settings(overrides=overrides, folder=folder)))
                else:
                    seconds.append(by_engine(side, overrides, cache, environment))
    tell(sides)


def tell(sides: Mapping[str, list[float]]) -> None:
    """Print a table, and the JSON line."""
    print(describe_machine())
    print(f"{'':8}{'median':>10}{'lowest':>10}{'highest':>10}  runs")
    for side, seconds in sides.items():
        cells = "".join(f"{value:8.1f} s" for value in (float(np.median(seconds)), min(seconds), max(seconds)))
        print(f"{side:8}{cells}  {len(seconds):4}")
    bare = float(np.median(sides["bare"]))
    ratios = {
        f"overhead_{side}": float(np.median(seconds)) / bare - 1 for side, seconds in sides.items() if side != "bare"
    }
    print_json("engines", ratios=ratios, targets=dict.fromkeys(ratios, TARGET))


if __name__ == "__main__":
    main()
