"""Ray, as far as extractions and sweeps both need it: how a cluster is joined, what of it each worker gets, and what
workers are told of the environment. Used with the extra `ray`.
"""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ...errors import SettingsError, WeldcacheError
from ...wording import with_extra

# Of the environment of who hands out the spans, what workers need too: Ray gives them none of it. Secrets are left
# out, since Ray shows what it was given to whoever can reach it; workers have theirs from their machine.
_PASSED_ON = ("WELDCACHE_", "HF_", "TRANSFORMERS_", "OMP_", "MKL_", "TORCH_", "PYTHONPATH", "XDG_CACHE_HOME")
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "KEY")
_CREDENTIALS = re.compile("://[^/]*@")  # USER:PASSWORD@ in an address
_GPU_PARTS = 10_000  # Ray counts in these, and rounds: six times a sixth would be more than one


@dataclass(frozen=True)
class Share:
    """What each worker gets of a cluster: whole cores, and a GPU or a part of one."""

    cores: int
    gpus: float


def machines_of(ray: Any) -> list[Mapping[str, float]]:
    """What each machine of the cluster has (`CPU`, `GPU` and others of Ray's names), and how much of it."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def num_gpus(machines: Sequence[Mapping[str, float]], *, asked: int | None) -> int:
    """How many GPUs of the cluster its workers share: those asked for, or all.

    Raises:
        SettingsError: if there are fewer than are asked for.
    """
    there = int(sum(machine.get("GPU", 0) for machine in machines))
    if asked is not None and asked > there:
        raise SettingsError(f"--gpus {asked}, and the Ray cluster has {there}.")
    return there if asked is None else asked


def share_of(machines: Sequence[Mapping[str, float]], *, workers: int, gpus: int) -> Share:
    """What each of so many workers gets, so that all of them have room: each on one machine, and at most on one GPU."""
    at_a_gpu = math.ceil(workers / gpus) if gpus else 0
    with_cores = [machine for machine in machines if machine.get("CPU")]
    cores = []
    for machine in with_cores:
        # As many workers may come to be here, at most.
        at_gpus = min(workers, int(machine.get("GPU", 0)) * at_a_gpu)
        here = at_gpus if gpus else math.ceil(workers / len(with_cores))
        cores += [int(machine["CPU"]) // here] if here else []
    part = math.floor(_GPU_PARTS / at_a_gpu) / _GPU_PARTS if gpus else 0.0
    return Share(max(1, min(cores, default=1)), part)


def require_ray() -> None:
    """Refuse to go on where Ray is not installed.

    Raises:
        SettingsError: names the extra.
    """
    if find_spec("ray") is None:
        raise SettingsError(f"--engine ray needs Ray, which is not installed: {with_extra('ray')}.")


def joined(address: str | None) -> tuple[Any, bool]:
    """Ray itself, connected to the cluster at `address` or to one on this machine alone, and whether it was connected
    here: else somebody else ends that.

    Raises:
        SettingsError: if Ray is not installed.
        WeldcacheError: if the cluster cannot be reached.
    """
    require_ray()
    import ray

    if ray.is_initialized():
        return ray, False
    # By itself Ray lets whatever else runs on the machine go first.
    own = {"address": "local", "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    try:
        ray.init(**({"address": address} if address else own), logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"the Ray cluster at {address}" if address else "a Ray cluster on this machine"
        raise WeldcacheError(f"Cannot reach {where}: {error}. See `ray status` there.") from error
    return ray, True


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that workers elsewhere are given: none of which is a secret, nor an address that holds one."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_PASSED_ON) and not any(word in name for word in _SECRET) and not _CREDENTIALS.search(value)
    }
