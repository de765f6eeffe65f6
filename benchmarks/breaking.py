"""What the parts of the reliability campaign share: commands in processes that can be killed, and what a store says."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore

HANGS = 60.0  # seconds after which a command that should have ended in one counts as hanging

# Imports once, then runs `weldcache` with each line of its stdin in a process of its own: a trial costs no imports.
_SERVER = """
import json, os, sys, torch
torch.set_num_threads(1)
import weldcache.extract.pipeline, weldcache.train.pipeline, weldcache.evaluate.pipeline, weldcache.cache.exchange
from weldcache.extract.backbones import audio_spectrogram, clip_text, random_backbone, vision_transformer, vjepa2
from weldcache.cli.main import run
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child == 0:
        os.setsid()
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2), os.chdir(asked["folder"])
        sys.argv = ["weldcache", *asked["arguments"]]
        os._exit(run(asked["arguments"]))
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Commands:
    """Runs `weldcache`, one command at a time; use as a context manager."""

    def __enter__(self) -> "Commands":
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._read(timeout=None)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._server.wait()

    def run(
        self, *arguments: str, folder: Path, log: Path, timeout: float = HANGS, kill_after: float | None = None
    ) -> int | None:
        """Exit status, negative for a signal; None if it had to be killed because it hung."""
        assert self._server.stdin is not None
        asked = {"arguments": arguments, "folder": str(folder), "log": str(log)}
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        child = int(self._read(timeout=None))
        answer = self._read(timeout=timeout if kill_after is None else kill_after)
        if answer:
            return int(answer)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        code = int(self._read(timeout=None))
        return code if kill_after is not None else None

    def _read(self, *, timeout: float | None) -> str:
        """A line of the server; nothing where none came in time."""
        assert self._server.stdout is not None
        ready, _, _ = select.select([self._server.stdout], [], [], timeout)
        return self._server.stdout.readline().strip() if ready else ""


@dataclass
class Tally:
    """Outcomes of one kind of trial, by name, and for each that should not be, what it was."""

    kind: str
    counts: dict[str, int] = field(default_factory=dict)
    bad: list[str] = field(default_factory=list)

    def add(self, outcome: str, *, detail: str = "", fine: bool = True) -> None:
        """Count one trial."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if not fine:
            self.bad.append(f"{self.kind}, {outcome}: {detail}")

    @property
    def num_trials(self) -> int:
        """How many there were."""
        return sum(self.counts.values())


def content_of(path: Path) -> dict[str, object]:
    """All that a store tells its readers, such that two stores that tell the same are equal."""
    store = FeatureStore.open(path)
    told: dict[str, object] = {
        "fingerprint": store.fingerprint,
        "versions": dict(store.versions),
        "columns": {name: column.tolist() for name, column in store.index.columns().items()},
        "constants": {name: store.constant(name).tobytes() for name in store.constants},
    }
    for name in store.feature_sets:
        status = store.status(name)
        rows = np.flatnonzero(status == Status.COMPLETE)
        told[f"{name} status"] = status.tolist()
        told[f"{name} notes"] = store.notes(name)
        told[f"{name} sources"] = store.sources(name, range(len(status)))
        for array in store.arrays(name):
            told[f"{name} {array}"] = store.read(f"{name}/{array}", rows).tobytes()
    return told


def false_rows(path: Path, reference: Mapping[str, object]) -> int:
    """Complete rows of a store, which may be unfinished, whose bytes are not those of the finished reference."""
    store, false = FeatureStore.open(path), 0
    for name in store.feature_sets:
        for row in np.flatnonzero(store.status(name) == Status.COMPLETE).tolist():
            for array in store.arrays(name):
                whole = reference[f"{name} {array}"]
                mine = store.read(f"{name}/{array}", [row]).tobytes()
                assert isinstance(whole, bytes)
                false += whole[row * len(mine) : (row + 1) * len(mine)] != mine
    return false


def leftovers(folder: Path) -> list[str]:
    """Hidden files and folders that a command leaves only when it is killed."""
    return sorted(
        str(path.relative_to(folder)) for path in folder.rglob(".*") if ".tmp" in path.name or path.suffix == ".part"
    )
