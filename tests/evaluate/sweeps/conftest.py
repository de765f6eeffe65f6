"""Sweeps on the toy store of the trials, which train within a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from weldcache.evaluate.sweeps.space import SweepRequest, load_request
from weldcache.evaluate.sweeps.sweep import Swept, begun_with, sweep
from weldcache.tests.evaluate.trials import conftest as trials

toy_store_path = trials.toy_store_path
project = trials.project

RunSweep = Callable[..., Swept]
WriteRequest = Callable[..., SweepRequest]

# The smallest recipe does.
FRAMES = {"recipe.name": "video_ae", "recipe.hidden": 4, "train.patience": 5}
SPACE = {"train.lr": {"kind": "float", "low": 1e-4, "high": 1e-1, "log": True}}


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
