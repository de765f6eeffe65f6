"""Real kills of real processes: whatever stops `weldcache extract`, the next run ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore

# Imports once, then runs `weldcache` with each line of its stdin in a process of its own, which can be killed.
_SERVER = """
import json, os, sys, torch
torch.set_num_threads(1)
import weldcache.extract.pipeline
from weldcache.cli.main import run
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(run(json.loads(line)))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
_GENEROUS = 120.0  # seconds until a test gives up waiting; nothing here takes a tenth of it


class Processes:
    """Starts `weldcache` in processes that share their imports, one at a time."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server
        self._read()

    def start(self, *arguments: str) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(arguments) + "\n")
        self._server.stdin.flush()
        return int(self._read())

    def wait(self) -> int:
        """Exit code; the negative number of the signal where one ended it."""
        return int(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


@pytest.fixture
def project(copy_of: Callable[[Path], Path], synthetic: Path) -> Path:
    """Data with one broken film, so that there are reasons to be written too."""
    project = copy_of(synthetic)
    film = sorted(project.glob("*/*/*.avi"))[10]
    film.write_bytes(film.read_bytes()[:100])
    return project


@pytest.fixture
def processes(project: Path, child_environment: dict[str, str]) -> Iterator[Processes]:
    server = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        cwd=project,
        env=child_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with server:
        yield Processes(server)


def whole(store: Path) -> dict[str, bytes]:
    """Every file that is not a temporary one, less when the store was made."""
    files = {}
    for path in store.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(".partial"):
            files[str(path.relative_to(store))] = path.read_bytes()
    root = json.loads(files["zarr.json"])
    root["attributes"]["weldcache"].pop("created")
    files["zarr.json"] = json.dumps(root).encode()
    return files


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _GENEROUS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def complete_rows_are_right(store: Path, reference: FeatureStore) -> None:
    """Whatever says it is complete reads back, checksum and all, as in a run that nobody stopped."""
    found = FeatureStore.open(store)
    for modality in found.modalities:
        rows = np.flatnonzero(found.status(modality) == Status.COMPLETE)
        for array in found.manifest[modality]["arrays"]:
            name = f"{modality}/{array}"
            np.testing.assert_array_equal(found.read(name, rows), reference.read(name, rows))


def test_kills_at_any_moment_cost_time_and_nothing_else(project: Path, processes: Processes) -> None:
    reference_path, store = project / "reference.zarr", project / "features.zarr"
    processes.start("extract", "--cache", str(reference_path))
    assert processes.wait() == 0
    reference = FeatureStore.open(reference_path)
    generator = np.random.default_rng(0)

    def num_statuses() -> int:
        return sum(1 for _ in store.glob("status/*/c.*"))

    moments: list[Callable[[], bool]] = [
        lambda: any(project.glob(".features.zarr.*.tmp")),  # the store is being made
        lambda: store.exists(),
        lambda: (store / "features/image").exists(),  # its modalities are
        lambda: num_statuses() > 0,
    ]
    for moment in moments:
        child = processes.start("extract")
        wait_for(moment)
        os.kill(child, signal.SIGKILL)
        assert processes.wait() == -signal.SIGKILL
        if store.exists():
            complete_rows_are_right(store, reference)
    for _ in range(4):
        child = processes.start("extract")
        before = num_statuses()
        wait_for(lambda: num_statuses() > before)  # noqa: B023
        time.sleep(float(generator.uniform(0, 0.3)))
        os.kill(child, signal.SIGKILL)
        killed = processes.wait()
        complete_rows_are_right(store, reference)
        if killed == 0:
            break
    processes.start("extract")
    assert processes.wait() == 0
    assert whole(store) == whole(reference_path)


@pytest.fixture
def start(project: Path, child_environment: dict[str, str]) -> Callable[[], "subprocess.Popen[str]"]:
    """Start `weldcache extract` with decode workers, as a terminal does: in a group of its own."""
    command = [sys.executable, "-m", "weldcache", "extract", "--set", "extract.workers=2"]

    def start_it() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            command, cwd=project, env=child_environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    return start_it


def test_a_killed_run_leaves_nothing_running(start: Callable[[], "subprocess.Popen[str]"], project: Path) -> None:
    with start() as killed:
        wait_for(lambda: any((project / "features.zarr").glob("status/*/c.*")))
        family = psutil.Process(killed.pid).children(recursive=True)
        killed.kill()
    assert len(family) >= 3  # the fork server and two workers
    deadline = time.monotonic() + 15
    while (alive := [process for process in family if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in alive:
        process.kill()
    assert not alive


def test_ctrl_c_is_a_sentence(start: Callable[[], "subprocess.Popen[str]"], project: Path) -> None:
    """The keys reach every process of the group, the decode workers too."""
    with start() as interrupted:
        wait_for(lambda: any((project / "features.zarr").glob("status/*/c.*")))
        os.killpg(interrupted.pid, signal.SIGINT)
        assert interrupted.stderr is not None
        said = interrupted.stderr.read()
    assert interrupted.returncode == 130
    assert said.splitlines()[-1].startswith("weldcache: Interrupted. What was complete is kept")
    assert "Traceback" not in said


def test_a_killed_decode_worker_ends_the_run_with_a_sentence_and_loses_nothing(
    project: Path, weldcache: Callable[..., Any]
) -> None:
    killed: list[int] = []

    def kill_a_worker() -> None:
        me, deadline = psutil.Process(), time.monotonic() + _GENEROUS
        known = {process.pid for process in me.children(recursive=True)}
        while not killed and time.monotonic() < deadline:
            servers = [child for child in me.children() if "forkserver" in " ".join(child.cmdline())]
            workers = [child for server in servers for child in server.children() if child.pid not in known]
            for worker in workers[:1]:
                worker.kill()
                killed.append(worker.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    outcome = weldcache("extract", "--set", "extract.workers=1", folder=project)
    thread.join()
    assert killed
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert "A decode process died" in outcome.err and "run the same command again" in outcome.err
    again = weldcache("extract", folder=project)
    assert again.code == 0
    assert "video: 37 complete, 1 unreadable" in again.out
