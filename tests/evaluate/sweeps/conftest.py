"""Sweeps on the toy store of the trials, which train within a second."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from weldcache.evaluate.sweeps.request import SweepRequest, load_request
from weldcache.evaluate.sweeps.sweep import Swept, begun_with, sweep
from weldcache.tests.evaluate.trials import conftest as trials

toy_store_path = trials.toy_store_path
project = trials.project

RunSweep = Callable[..., Swept]
WriteRequest = Callable[..., SweepRequest]

# The smallest recipe does.
FRAMES = {"recipe.name": "video_ae", "recipe.hidden": 4, "train.patience": 5}
SPACE = {"train.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True}}


# Trials that go on long enough to be killed in, with checkpoints to go on from.
LONG_SWEEP = """
trials: 4
seeds: 0
pruner: none
sampler: random
set: {recipe.name: video_ae, train.epochs: 60, train.patience: 60, train.checkpoint_seconds: 0.05}
space: {train.lr: {kind: float, low: 1.0e-4, high: 1.0e-2, log: true}}
"""


def require_each_once(told: Path) -> None:
    """See in sweep.json that every trial of `LONG_SWEEP` was tried, whole, and counts once."""
    trials = json.loads(told.read_text())["trials"]
    assert [trial["state"] for trial in trials] == ["complete"] * 4
    assert len({trial["run"] for trial in trials}) == len({trial["values"]["train.lr"] for trial in trials}) == 4
    assert all(trial["epochs"] == 60 for trial in trials)


def owners_in(journal: Path) -> list[int]:
    """Numbers of the processes that have taken on trials, in the order in which they came."""
    found = re.findall(r'"owner":\{[^}]*"pid":(\d+)', journal.read_text() if journal.exists() else "")
    return list(dict.fromkeys(map(int, found)))


def wait_for(done: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait until something is so; `process` has to live that long."""
    deadline = time.monotonic() + 240
    while not done():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr and process.stderr.read()
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def pages_without_pictures(undrawn: None) -> None:
    """Drawing takes longer than the trials."""


@pytest.fixture
def write_request(project: Path) -> WriteRequest:
    """Write a sweep's file and read it back."""

    def write(space: dict[str, object] | None = None, *, name: str = "pace", **keys: Any) -> SweepRequest:
        path = project / f"{name}.yaml"
        told = {"set": FRAMES, "trials": 3, "seeds": 0, "pruner": "none", "space": space or SPACE, **keys}
        path.write_text("# Which pace?\n" + yaml.safe_dump(told, sort_keys=False))
        return load_request(str(path))

    return write


@pytest.fixture
def run_sweep() -> RunSweep:
    """Run a sweep; keywords as of `sweep`."""

    def run(
        request: SweepRequest,
        *,
        overrides: tuple[str, ...] = (),
        jobs: int = 1,
        together: int = 1,
        keep_weights: bool = False,
    ) -> Swept:
        request, settings = begun_with(request, overrides=overrides)
        return sweep(
            request,
            settings,
            jobs=jobs,
            together=together,
            keep_weights=keep_weights,
            command="weldcache sweep",
            overrides=overrides,
        )

    return run
