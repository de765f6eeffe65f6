"""`weldcache` in processes that can be killed, and stores compared to the byte."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

# Imports once, then starts `weldcache`, or waits for one that it started, as each line of its stdin says.
_SERVER = """
import json, os, sys, torch
torch.set_num_threads(1)
import weldcache.extract.group_writer
import weldcache.extract.pipeline
import weldcache.extract.prepare
from weldcache.extract.backbones import audio_spectrogram, clip_text, random_backbone, vision_transformer, vjepa2
from weldcache.cli.main import run
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
get_checkpoint_conversion_mapping("dinov3_vit")  # compiles a thousand patterns, which children share
weldcache.extract.group_writer._PATIENCE = 0.0  # records are written after every group, so that kills often meet it
weldcache.extract.prepare._WORTH_MEASURING = 10**6  # no time goes into a forecast, during which nothing is written
print("ready", flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if "wait" in asked:
        print(os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if child == 0:
        os.setsid()
        os.chdir(asked["folder"])
        os.environ.update(asked["environment"])
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(asked["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        os._exit(run(asked["start"]))
    print(child, flush=True)
"""
# Two machines in one, each with a core; the second is lost when a line comes.
_CLUSTER = """
import os, sys
os.environ["RAY_worker_niceness"] = "0"
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
second = cluster.add_node(num_cpus=1)
print(cluster.address, flush=True)
for line in sys.stdin:
    cluster.remove_node(second, allow_graceful=False)
    print("lost", flush=True)
"""
_GENEROUS = 120.0  # seconds until a test gives up waiting; nothing here takes a tenth of it


class Children:
    """Starts `weldcache` in processes that share their imports. Use as a context manager."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", _SERVER],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._read()

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__(None, None, None)

    def start(
        self,
        *arguments: str,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        said: str = "said.txt",
    ) -> int:
        """The process of a command in `folder`, where it writes what it says to the file `said`.

        It is in a group of its own, as a terminal starts it.
        """
        return self._ask(
            {
                "start": arguments,
                "folder": str(folder or self._folder),
                "environment": dict(environment or {}),
                "said": said,
            }
        )

    def wait(self, child: int) -> int:
        """Its exit code; the negative number of the signal where one ended it."""
        return self._ask({"wait": child})

    def _ask(self, what: Mapping[str, object]) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(what) + "\n")
        self._server.stdin.flush()
        return int(self._read())

    def _read(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline().strip()


class Machines:
    """A Ray cluster of two machines, of which the second can be lost."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CLUSTER],
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._line()

    def lose_one(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        assert self._line() == "lost"

    def close(self) -> None:
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def alive(processes: Iterable[int]) -> list[int]:
    """Those that have not ended, by their numbers."""
    found = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            if psutil.Process(process).status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def whole(store: Path) -> dict[str, bytes]:
    """Every file that is not a temporary one, less when the store was made."""
    files = {}
    for path in store.rglob("*"):
        if path.is_file() and not path.name.startswith(".") and not path.name.endswith(".partial"):
            files[str(path.relative_to(store))] = path.read_bytes()
    root = json.loads(files["zarr.json"])
    for name in ("created", "checksum"):  # a checksum over the other things, the time among them
        root["attributes"]["weldcache"].pop(name)
    files["zarr.json"] = json.dumps(root).encode()
    return files


def differing(store: Path, reference: Path) -> list[str]:
    """Files that only one of two stores has, or that are not the same in both."""
    one, other = whole(store), whole(reference)
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + _GENEROUS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)
