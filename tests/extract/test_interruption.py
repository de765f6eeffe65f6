"""Real kills of real processes: whatever stops `weldcache extract`, the next run ends with the same bytes."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.verify import verify_store
from weldcache.findings import Finding
from weldcache.tests.children import Children, differing, wait_for

_QUICK = "extract.features=[image,sensor]"  # where the others would only take longer


@pytest.fixture
def project(copy_of: Callable[[Path], Path], synthetic: Path) -> Path:
    """Data with one broken film, so that there are reasons to be written too."""
    project = copy_of(synthetic)
    film = sorted(project.glob("*/*/*.avi"))[10]
    film.write_bytes(film.read_bytes()[:100])
    return project


def runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def complete_rows_are_right(store: Path, reference: FeatureStore) -> None:
    """Whatever says it is complete reads back, checksum and all, as in a run that nobody stopped."""
    found = FeatureStore.open(store)
    for name in found.feature_sets:
        rows = np.flatnonzero(found.status(name) == Status.COMPLETE)
        assert found.sources(name, rows) == reference.sources(name, rows)
        for array in found.arrays(name):
            np.testing.assert_array_equal(found.read(f"{name}/{array}", rows), reference.read(f"{name}/{array}", rows))


def faults_of(store: Path) -> list[Finding]:
    """What a verification of the store alone finds that is more than a note."""
    checks = verify_store(FeatureStore.open(store))
    return [finding for check in checks for finding in check.findings if finding.severity != "note"]


@pytest.mark.slow
def test_thirty_kills_at_any_moment_cost_time_and_nothing_else(
    project: Path, children: Children, manifest_rows: Callable[..., Any], write_rows: Callable[..., None]
) -> None:
    """Whenever the store is complete in spite of them, it is compared and begun anew. With one backbone, and sound
    without any, as most of the others' time is spent where nothing is written; a recording is broken. Of the welds
    sixteen, in pairs: as many groups are written as of all in fours."""
    reference_path, store = project / "reference.zarr", project / "features.zarr"
    rows = manifest_rows(project)[:16]
    write_rows(project, rows)
    (recording,) = (project / rows[5]["SUBDIRS"]).glob("*.flac")
    recording.write_bytes(recording.read_bytes()[:100])
    sound = ("--set", "features.sound_statistics.kind=sound_statistics")
    chosen = ("--set", "extract.features=[sound_statistics,image,sensor]", "--set", "extract.batch_size=2")
    command, started = ("extract", *sound, *chosen), time.monotonic()
    assert children.wait(children.start(*command, "--cache", str(reference_path), folder=project)) == 0
    lifetime = time.monotonic() - started
    reference, generator = FeatureStore.open(reference_path), np.random.default_rng(0)
    moments: list[Callable[[], bool]] = [
        lambda: any(project.glob(".features.*.tmp.zarr")),  # the store is being made
        lambda: store.exists(),
        lambda: (store / "features/image").exists(),  # its arrays are
        *(
            lambda name=name: any((store / name).glob("**/.c.0.part"))  # records are being replaced
            for name in ("status", "digest", "source", "digest", "status")
        ),
    ]
    kills = 0
    while kills < 30:
        child = children.start(*command, folder=project)
        if kills < len(moments):
            wait_for(lambda: moments[kills]() or not psutil.pid_exists(child))  # noqa: B023
        else:
            time.sleep(float(generator.uniform(0, lifetime)))
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        ended = children.wait(child)
        if store.exists():
            complete_rows_are_right(store, reference)
            if kills < len(moments):
                assert not faults_of(store)
        if ended == 0:
            assert not differing(store, reference_path)
            shutil.rmtree(store)
        else:
            assert ended == -signal.SIGKILL, (project / "said.txt").read_text()
            kills += 1
    assert children.wait(children.start(*command, folder=project)) == 0
    assert not differing(store, reference_path)


WITH_WORKERS = ("extract", "--set", "extract.workers=2", "--set", _QUICK)


@pytest.mark.slow
def test_a_killed_run_leaves_nothing_running(project: Path, children: Children) -> None:
    killed = children.start(*WITH_WORKERS, folder=project)
    wait_for(lambda: any((project / "features.zarr").glob("status/**/c.*")))
    family = psutil.Process(killed).children(recursive=True)
    os.kill(killed, signal.SIGKILL)
    children.wait(killed)
    assert len(family) >= 3  # the fork server and two workers
    deadline = time.monotonic() + 15
    while (alive := [process for process in family if runs(process)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    for process in alive:
        process.kill()
    assert not alive


@pytest.mark.slow
def test_ctrl_c_is_a_sentence(project: Path, children: Children) -> None:
    """The keys reach every process of the group, the decode workers too."""
    interrupted = children.start(*WITH_WORKERS, folder=project)
    wait_for(lambda: any((project / "features.zarr").glob("status/**/c.*")))
    os.killpg(interrupted, signal.SIGINT)
    assert children.wait(interrupted) == 130
    said = (project / "said.txt").read_text()
    assert said.splitlines()[-1].startswith("weldcache: Interrupted. What was complete is kept")
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_killed_decode_worker_costs_nothing(project: Path, weldcache: Callable[..., Any]) -> None:
    killed: list[int] = []

    def kill_a_worker() -> None:
        me, deadline = psutil.Process(), time.monotonic() + 120.0
        known = {process.pid for process in me.children(recursive=True)}
        while not killed and time.monotonic() < deadline:
            with contextlib.suppress(psutil.NoSuchProcess):
                servers = [child for child in me.children() if "forkserver" in " ".join(child.cmdline())]
                workers = [child for server in servers for child in server.children() if child.pid not in known]
                begun = any((project / "features.zarr").glob("status/**/c.*"))
                for worker in workers[:1] if begun else ():
                    worker.kill()
                    killed.append(worker.pid)
            time.sleep(0.01)

    thread = threading.Thread(target=kill_a_worker)
    thread.start()
    outcome = weldcache("extract", "--set", "extract.workers=1", folder=project)
    thread.join()
    assert killed
    assert outcome.code == 0, outcome.err
    assert "video: 37 complete, 1 unreadable" in outcome.out
    weldcache("extract", "--cache", "undisturbed.zarr", folder=project)
    assert not differing(project / "features.zarr", project / "undisturbed.zarr")


# In a file system of its own: extracts, has the disk filled in the middle, and extracts again with room.
_FULL_DISK = """
import json, os, signal, subprocess, sys
from pathlib import Path
from weldcache.tests.children import Children, wait_for
disk, junk, said = Path("disk"), Path("disk/junk"), Path("said.txt")
command = ["extract", "--cache", "disk/features.zarr", *sys.argv[1:]]
with Children(Path.cwd(), os.environ) as children:
    first = children.start(*command)
    wait_for(lambda: any(disk.glob("features.zarr/features/*/*/c.*")))
    os.kill(first, signal.SIGSTOP)  # or a quick machine may end the extraction before the disk is full
    try:
        with junk.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    except OSError:
        pass
    os.kill(first, signal.SIGCONT)
    told = [children.wait(first), said.read_text()]
    junk.unlink()
    told += [children.wait(children.start(*command)), said.read_text()]
subprocess.run(["cp", "-r", "disk/features.zarr", "features.zarr"], check=True)
print(json.dumps(told))
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_is_a_sentence_and_loses_nothing(
    project: Path, child_environment: dict[str, str], weldcache: Callable[..., Any]
) -> None:
    (project / "disk").mkdir()
    mount = "mount -t tmpfs -o size=40m tmpfs disk"
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*namespace, mount], cwd=project, capture_output=True, check=False).returncode:
        pytest.skip("this system lets nobody mount a file system of their own")
    ran = subprocess.run(
        [*namespace, f'{mount} && exec "$0" -c "$1" --set "$2"', sys.executable, _FULL_DISK, _QUICK],
        cwd=project,
        env=child_environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    code, said, code_after, said_after = json.loads(ran.stdout.splitlines()[-1])
    assert (code, code_after) == (1, 0), said + said_after
    assert "No space left on device. Complete rows are safe; make room and run the same command again" in said
    assert "Traceback" not in said
    weldcache("extract", "--cache", "undisturbed.zarr", "--set", _QUICK, folder=project)
    assert not differing(project / "features.zarr", project / "undisturbed.zarr")
