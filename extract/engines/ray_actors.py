"""A crew of Ray actors, on one machine or many: one worker each, with its share of GPUs and cores.

Ray places actors and says when one has died; what is done then is for `crew.py`: Ray itself would try again for ever.
Settings, spans, counts and reasons go through Ray, and no features: these are written where they are made. Used with
the extra `ray`.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...progress import say
from ...wording import count_of
from .engine import Engine, Place
from .member import Death, Member, Order, failure_of
from .ray_cluster import joined, machines_of, num_gpus, passed_on, share_of


class RayCrew:
    """A `Crew` of actors."""

    def __init__(self, order: Order, engine: Engine) -> None:
        """Join the cluster, or start one on this machine.

        Raises:
            SettingsError: if Ray is not installed, or the cluster has fewer GPUs than are asked for.
            WeldcacheError: if the cluster cannot be reached.
        """
        self._ray, self._joined = joined(engine.address)
        machines = machines_of(self._ray)
        gpus = num_gpus(machines, asked=engine.gpus)
        self.num_workers = engine.workers or gpus or len(machines)
        self._share = share_of(machines, workers=self.num_workers, gpus=gpus)
        self._order = replace(order, workers=self.num_workers)
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}
        say(
            f"Ray: {count_of(self.num_workers, 'worker')} with {count_of(self._share.cores, 'core')} and "
            f"{self._share.gpus:g} GPUs each, on {count_of(len(machines), 'machine')}."
        )

    def start(self, number: int) -> None:
        options = {
            "num_cpus": self._share.cores,
            "num_gpus": self._share.gpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "scheduling_strategy": "SPREAD",
            "runtime_env": {"env_vars": passed_on(os.environ)},
        }
        make = self._ray.remote(_Actor).options(**options)
        self._actors[number] = make.remote(self._order, number, self._share.cores)
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
