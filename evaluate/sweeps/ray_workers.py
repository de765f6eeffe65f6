"""The processes of a sweep as actors of Ray, on one machine or a cluster: Ray places them, the study tells what to try.

An actor is never restarted by Ray: one that dies is noticed here, and another takes its place, as without Ray. Nothing
goes through Ray's object store; what a trial needs it reads from the store, and what it makes is in the runs' folder,
so that both have to be on a disk that all machines see.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import SettingsError, StoreError, TrainingError, WeldcacheError
from ...extract.engines.ray_cluster import joined, machines_of, num_gpus, passed_on, require_ray, share_of
from ...owners import Owner, this_process
from ...progress import quieted, say
from .study import SweepStudy
from .worker import Sweep, work

_LOOK_SECONDS = 0.5  # between two looks at the actors
_ROOM_SECONDS = 60.0  # without any worker that has begun, until that is said


@dataclass(frozen=True)
class Cluster:
    """Where Ray runs.

    Attributes:
        address: of a cluster that runs; None: one is started here, for as long as the sweep goes on.
        gpus: that its processes share, several to a GPU where they are more; None: all that there are.
    """

    address: str | None = None
    gpus: int | None = None


def cluster_of(engine: Literal["local", "ray"], *, address: str | None, gpus: int | None) -> Cluster | None:
    """What a command line asks for; None without Ray.

    Raises:
        SettingsError: if it says of no Ray where or with what it runs, or Ray is not installed.
    """
    if engine == "local":
        if address is not None or gpus is not None:
            raise SettingsError("--address and --gpus are Ray's: add --engine ray.")
        return None
    require_ray()
    return Cluster(address, gpus)


class _Worker:
    """One process of a sweep."""

    def owner(self) -> Owner:
        """By what the study knows it."""
        return this_process()

    def work(self, sweep: Sweep) -> None:
        """As `worker.work`, where store and runs can be seen."""
        for path in (sweep.settings.cache.path, sweep.folder):
            if isinstance(path, Path) and not path.is_dir():  # a bucket is seen from everywhere, or says why not
                raise StoreError(
                    f"A worker on {this_process()['host']} does not see {path}. Put the store and the runs on a disk "
                    "that all machines of the cluster have at the same path, and name them with --cache and --set "
                    "runs.folder=PATH."
                )
        with quieted(sweep.quiet):
            work(sweep, told=lambda: None)


def run_on_ray(
    whole: Sweep, study: SweepStudy, cluster: Cluster, *, jobs: int, most_deaths: int, show: Callable[[], None]
) -> None:
    """Keep `jobs` actors at work until no trial is left; `show` is called now and then.

    Raises:
        SettingsError: if the cluster has no such GPUs.
        TrainingError: if more than `most_deaths` actors died.
        WeldcacheError: if the cluster cannot be reached, or an actor refuses to work, as one without the store.
    """
    with _connected(cluster) as ray:
        make: Any = ray.remote(_Worker).options(  # Ray's wrappers have no types
            num_cpus=1 if cluster.address else 0,  # here as many run as are asked for
            num_gpus=_share(ray, whole, cluster, jobs=jobs),
            max_restarts=0,
            max_task_retries=0,
            runtime_env={"env_vars": passed_on(os.environ)},
        )
        at_work: dict[Any, Any] = {}  # actors by what they will return
        owners: dict[Any, Any] = {}

        def start() -> None:
            actor = make.remote()
            owners[actor] = actor.owner.remote()
            at_work[actor.work.remote(whole)] = actor

        for _ in range(jobs):
            start()
        deaths = 0
        alone_since = time.monotonic()  # since when no worker is known to have begun
        try:
            while at_work:
                if _any_has_begun(ray, [owners[actor] for actor in at_work.values()]):
                    alone_since = time.monotonic()
                elif time.monotonic() - alone_since > _ROOM_SECONDS:
                    alone_since = math.inf
                    say("No machine of the cluster has room for a worker of the sweep, which waits; see `ray status`.")
                done, _ = ray.wait(list(at_work), num_returns=1, timeout=_LOOK_SECONDS)
                show()
                for ended in done:
                    actor = at_work.pop(ended)
                    if _ended_well(ray, ended):
                        ray.kill(actor)
                        continue
                    deaths += 1
                    if deaths > most_deaths:
                        raise TrainingError(f"{deaths} workers of the sweep died; see Ray's logs for what they said.")
                    say("A worker of the sweep died; another one takes its place.")
                    start()
        finally:
            _end(ray, study, at_work, owners)


def _any_has_begun(ray: Any, owners: list[Any]) -> bool:
    """Whether one of several actors has a place; those that have none yet wait for it."""
    begun, _ = ray.wait(owners, num_returns=1, timeout=0)
    return bool(begun)


def _ended_well(ray: Any, ended: Any) -> bool:
    """Whether an actor found nothing more to do; false if it died."""
    try:
        ray.get(ended)
    except ray.exceptions.RayActorError:
        return False
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, WeldcacheError) else error) from None
    return True


def _end(ray: Any, study: SweepStudy, at_work: dict[Any, Any], owners: dict[Any, Any]) -> None:
    """End the actors that are left, and put their trials back: none of them has died of its trial."""
    ended = []
    for actor in at_work.values():
        with suppress(ray.exceptions.RayError):  # one that no machine has had room for, or that has died
            ended.append(ray.get(owners[actor], timeout=0.1))
        ray.kill(actor)
    if ended:
        time.sleep(_LOOK_SECONDS)  # a kill takes a moment, and nobody is to try a trial that goes on
        study.give_back_of(ended)


def _share(ray: Any, whole: Sweep, cluster: Cluster, *, jobs: int) -> float:
    """What each process takes of a GPU."""
    machines = machines_of(ray)
    gpus = num_gpus(machines, asked=cluster.gpus)
    return 0.0 if whole.settings.train.device == "cpu" else share_of(machines, workers=jobs, gpus=gpus).gpus


@contextmanager
def _connected(cluster: Cluster) -> Iterator[Any]:
    """Ray itself, connected to the cluster, or to one that lives as long as this."""
    ray, here = joined(cluster.address)
    try:
        # Ray prints what it has to say of workers, and their words, where the result alone is to be.
        with redirect_stdout(sys.stderr):
            yield ray
    finally:
        if here:
            ray.shutdown()
