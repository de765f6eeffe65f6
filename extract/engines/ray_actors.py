"""A crew of Ray actors, on one machine or many: one worker each, with its share of GPUs and cores.

Ray places actors and says when one has died; what is done then is for `crew.py`: Ray itself would try again for ever.
Nothing but spans and counts goes through Ray; features are written where they are made. Used with the extra `ray`.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from ...errors import SettingsError, WeldcacheError
from ...progress import say
from ...wording import count_of
from .engine import Engine, Place
from .member import Death, Member, Order, failure_of

# Of the environment of who hands out the spans, what workers need too: Ray gives them none of it. Secrets are left
# out, since Ray shows what it was given to whoever can reach it; workers have theirs from their machine.
_PASSED_ON = ("WELDCACHE_", "HF_", "TRANSFORMERS_", "OMP_", "MKL_", "TORCH_", "PYTHONPATH", "XDG_CACHE_HOME")
_SECRET = ("TOKEN", "SECRET", "PASSWORD", "KEY")


class RayCrew:
    """A `Crew` of actors."""

    def __init__(self, order: Order, engine: Engine) -> None:
        """Join the cluster, or start one on this machine.

        Raises:
            SettingsError: if Ray is not installed, or the cluster has fewer GPUs than are asked for.
            WeldcacheError: if the cluster cannot be reached.
        """
        self._ray, self._joined = joined(engine.address)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU")]
        there = int(sum(node.get("GPU", 0) for node in nodes))
        if engine.gpus is not None and engine.gpus > there:
            raise SettingsError(f"--gpus {engine.gpus}, and the Ray cluster has {there}.")
        gpus = engine.gpus or there
        self.num_workers = engine.workers or gpus or len(nodes)
        # An actor must fit on one machine.
        self._cores = max(1, min(sum(cores) // self.num_workers, *cores))
        self._gpus = gpus / self.num_workers
        self._order = replace(order, workers=self.num_workers)
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}
        say(
            f"Ray: {count_of(self.num_workers, 'worker')} with {count_of(self._cores, 'core')} and {self._gpus:g} GPUs "
            f"each, on {count_of(len(nodes), 'machine')}."
        )

    def start(self, number: int) -> None:
        options = {
            "num_cpus": self._cores,
            "num_gpus": self._gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": passed_on(os.environ)},
        }
        self._actors[number] = self._ray.remote(_Actor).options(**options).remote(self._order, number, self._cores)
        self.ask(number, "ready")

    def ask(self, number: int, method: str, *arguments: object) -> None:
        self._pending[self._actors[number].answer.remote(method, arguments)] = number

    def answers(self, *, seconds: float) -> Sequence[tuple[int, Any]]:
        ready, _ = self._ray.wait(list(self._pending), num_returns=1, timeout=seconds)
        return [(self._pending.pop(reference), self._answer(reference)) for reference in ready]

    def kill(self, number: int) -> None:
        self._ray.kill(self._actors[number], no_restart=True)

    def close(self) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor, no_restart=True)
        if self._joined:
            self._ray.shutdown()

    def _answer(self, reference: Any) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError:
            raise  # a fault of the actor itself: whatever a worker raises is an answer
        except self._ray.exceptions.RayError as error:
            return Death(str(error).partition("\n")[0].rstrip("."))


class _Actor:
    """What Ray runs: a worker, made when it is first asked something, so that what it raises then is an answer."""

    def __init__(self, order: Order, number: int, cores: int) -> None:
        self._order = order
        self._number = number
        self._cores = cores
        self._member: Member | None = None

    def answer(self, method: str, arguments: tuple[object, ...]) -> object:
        """What a method of the worker returns, or what it raised as a `Failure`."""
        try:
            if self._member is None:
                place = Place(self._number, self._order.workers, cores=self._cores)
                self._member = Member(self._order, number=self._number, place=place, threads=self._cores)
            return getattr(self._member, method)(*arguments)
        except Exception as error:
            return failure_of(error)


def require_ray() -> None:
    """Refuse to go on where Ray is not installed.

    Raises:
        SettingsError: names the extra.
    """
    if find_spec("ray") is None:
        raise SettingsError("--engine ray needs Ray, which is not installed: pip install 'weldcache[ray]'.")


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
    """The variables that workers elsewhere are given, none of which is a secret."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_PASSED_ON) and not any(word in name for word in _SECRET)
    }
