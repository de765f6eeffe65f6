"""Processes of one machine that share an extraction, some of which are killed."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.extract.engines.marks import read_marks
from weldcache.tests.children import Children, differing, wait_for
from weldcache.tests.extract.engines.conftest import COMMAND, MORTAL

# Slow: each extraction forks its workers from a process of its own that imports everything anew.
pytestmark = [pytest.mark.distributed, pytest.mark.slow]
TWO = ("--workers", "2")


@pytest.fixture
def mortal(project: Path, children: Children) -> Callable[..., tuple[int, str]]:
    """Extract the feature `mortal` with two workers and settings of its own: exit code, and what was said."""

    def extract(*settings: str, cache: str = "features.zarr", workers: int = 2) -> tuple[int, str]:
        options = [word for setting in settings for word in ("--set", f"features.mortal.{setting}")]
        size = ("--set", "extract.batch_size=2", "--workers", str(workers), "--cache", cache)
        code = children.wait(children.start(*MORTAL, *options, *size, folder=project))
        return code, " ".join((project / "said.txt").read_text().split())

    return extract


def test_two_processes_make_what_one_makes_though_one_is_killed(
    project: Path, by_one: Path, children: Children
) -> None:
    store = project / "features.zarr"
    child = children.start(*COMMAND, *TWO, folder=project)
    wait_for(lambda: any(state.finished for state in read_marks(store)))
    victim = next(state for state in read_marks(store) if state.span is not None)
    os.kill(victim.pid, signal.SIGKILL)
    said = (project / "said.txt").read_text
    assert children.wait(child) == 0, said()
    assert "signal SIGKILL" in said() and "Another one goes on" in said()
    assert not differing(store, by_one / "features.zarr")


def test_who_hands_out_the_spans_takes_all_with_him(project: Path, children: Children) -> None:
    slow = ("--set", "features.mortal.seconds=0.5", "--set", "extract.batch_size=2", *TWO)
    child = children.start(*MORTAL, *slow, folder=project)
    wait_for(lambda: len([state for state in read_marks(project / "features.zarr") if state.span]) == 2)
    workers = [psutil.Process(state.pid) for state in read_marks(project / "features.zarr")]
    os.kill(child, signal.SIGKILL)
    children.wait(child)
    assert not psutil.wait_procs(workers, timeout=15)[1]


def test_a_sample_that_kills_its_worker_costs_its_batch_and_is_told(
    project: Path, mortal: Callable[..., tuple[int, str]], weld_keys: Callable[..., list[str]]
) -> None:
    key = weld_keys(project, "test")[5]
    code, said = mortal(f"killed_by={key}")
    assert code == 1 and "could not be finished" in said, said
    store = FeatureStore.open(project / "features.zarr")
    missing = store.status("mortal") == Status.MISSING
    assert missing.sum() == 2 and key in store.index.keys[missing]
    assert all("SIGKILL" in note for note in store.notes("mortal").values())
    # The next run tries it again, and what kills nobody any more is done; one that kills once costs nothing at all.
    assert mortal(workers=1)[0] == 0
    code, said = mortal(f"killed_by={key}", f"once={project / 'killed'}", cache="other.zarr")
    assert code == 0 and "signal SIGKILL" in said, said
    assert not differing(project / "other.zarr", project / "features.zarr")
    assert np.all(FeatureStore.open(project / "features.zarr").status("mortal") == Status.COMPLETE)
