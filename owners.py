"""Which process has something, such as a trial or a store that it writes to, and whether that process still lives.

The number of a process means something on its machine alone, and there only until the machine starts anew. So an owner
says which start of which machine it belongs to. Of a process elsewhere nothing can be told from here.
"""

import os
import socket
from functools import lru_cache
from pathlib import Path

import psutil
from typing_extensions import TypedDict


class Owner(TypedDict):
    """A process: numbers of processes are used again, but not with the same time of birth on one start of a machine."""

    host: str
    machine: str  # which start of it, and which container
    pid: int
    born: float


def this_process() -> Owner:
    """The process that asks, as others know it."""
    return Owner(host=socket.gethostname(), machine=_machine(), pid=os.getpid(), born=psutil.Process().create_time())


def called(owner: Owner) -> str:
    """An owner in messages."""
    return f"process {owner['pid']} on {owner['host']}"


def is_here(owner: Owner) -> bool:
    """Whether an owner is, or was, a process of this start of this machine, so that `lives` can tell of it."""
    return owner.get("machine") == _machine()


def lives(owner: Owner) -> bool:
    """Whether an owner that `is_here` has not ended."""
    try:
        process = psutil.Process(owner["pid"])
        return process.create_time() == owner["born"] and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@lru_cache(maxsize=1)
def _machine() -> str:
    """One for all processes that see each other's numbers, and no others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
