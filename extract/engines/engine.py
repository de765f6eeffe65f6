"""Which engine works on an extraction, and which part of it is this process's."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from ...errors import SettingsError
from ...settings import Settings
from ..sides import decoders_of, num_cores

EngineName = Literal["local", "rank", "ray"]


@dataclass(frozen=True)
class Engine:
    """What works on an extraction.

    Attributes:
        name: local: processes of this machine; rank: this process is one of several that were started elsewhere (by
            torchrun, Slurm, Kubernetes); ray: actors of a Ray cluster.
        workers: how many; None: as many as GPUs are given, or else one (local), as many ranks as the environment says,
            one for each GPU of the cluster, or else for each of its machines (ray).
        gpus: that the workers share, of this machine or of the cluster; None: all.
        address: of a Ray cluster to join; None: one is started on this machine, and ended with the extraction.
    """

    name: EngineName = "local"
    workers: int | None = None
    gpus: int | None = None
    address: str | None = None

    def __post_init__(self) -> None:
        for option, number in (("--workers", self.workers), ("--gpus", self.gpus)):
            if number is not None and number < 1:
                raise SettingsError(f"{option} {number} is no number of anything to work with; give 1 or more.")
        if self.gpus is not None and self.name == "rank":
            raise SettingsError("--gpus is not for ranks: each takes the GPU of its place on its machine.")
        if self.gpus is not None and self.workers is not None and self.gpus > self.workers:
            raise SettingsError(
                f"--gpus {self.gpus} and --workers {self.workers}: a worker has one GPU at most. Give as many workers, "
                "or leave one of the two out."
            )
        if self.address is not None and self.name != "ray":
            raise SettingsError(f"--address is of a Ray cluster, and the engine is {self.name}: add --engine ray.")

    @property
    def is_alone(self) -> bool:
        """Whether this process does everything itself."""
        return self.name == "local" and (self.workers or self.gpus or 1) == 1


ALONE = Engine()


@dataclass(frozen=True)
class Place:
    """Which of several workers one is: `rank` of `world`, and `local_rank` of `local_world` on its machine.

    `cores` are those that it may use, None where they have to be shared out.
    """

    rank: int
    world: int
    local_rank: int = 0
    local_world: int = 1
    cores: int | None = None


def require_gpus(engine: Engine) -> None:
    """Refuse to work on this machine with more GPUs than it has.

    Raises:
        SettingsError: says how many there are.
    """
    there = torch.cuda.device_count()
    if engine.gpus is not None and engine.gpus > there:
        raise SettingsError(f"--gpus {engine.gpus}, and this machine has {there}.")


def place_of(environment: Mapping[str, str], *, workers: int | None) -> Place:
    """The rank that the environment gives this process; `workers` is how many there are where it does not say.

    Known are RANK and WORLD_SIZE (torchrun, or set by hand), the index of a Slurm array and of a task in it, and the
    completion index of a Kubernetes job.

    Raises:
        SettingsError: if the environment says nothing, or contradicts itself or `workers`.
    """
    if "RANK" in environment:
        world = _number(environment, "WORLD_SIZE") if "WORLD_SIZE" in environment else workers
        local = _number(environment, "LOCAL_RANK", 0), _number(environment, "LOCAL_WORLD_SIZE", 1)
        place = Place(_number(environment, "RANK"), _known(world), *local)
    elif "SLURM_ARRAY_TASK_ID" in environment or "SLURM_PROCID" in environment:
        place = _place_in_slurm(environment)
    elif "JOB_COMPLETION_INDEX" in environment:
        place = Place(_number(environment, "JOB_COMPLETION_INDEX"), _known(workers))
    else:
        raise SettingsError(
            "--engine rank needs to know which rank this is: start it by torchrun, srun, as a Slurm array or an "
            "indexed Kubernetes job, or set RANK and WORLD_SIZE (RANK=0 WORLD_SIZE=2 weldcache extract --engine rank)."
        )
    if workers is not None and workers != place.world:
        raise SettingsError(f"--workers {workers} was given, and the environment tells of {place.world} ranks.")
    if not 0 <= place.rank < place.world:
        raise SettingsError(
            f"Rank {place.rank} of {place.world} is none: ranks begin at 0 and end before their number."
        )
    return place


def placed(settings: Settings, place: Place) -> Settings:
    """The settings of one of several workers on a machine: its own GPU, and its share of the cores to decode with."""
    changes: dict[str, str | int] = {}
    if settings.extract.device == "auto" and torch.cuda.is_available():
        changes["device"] = f"cuda:{place.local_rank % torch.cuda.device_count()}"
    if settings.extract.workers == "auto":
        # A batch system that has bound the process to its share of the cores has divided them already.
        share = place.cores or num_cores() // (place.local_world if num_cores() == os.cpu_count() else 1)
        changes["workers"] = decoders_of(share, beside_gpu="device" in changes)
    return settings.model_copy(update={"extract": settings.extract.model_copy(update=changes)})


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isdecimal():
        raise SettingsError(f"The environment variable {name} should be a whole number and is {text!r}.")
    return int(text)


def _place_in_slurm(environment: Mapping[str, str]) -> Place:
    """Tasks of one job, tasks of an array, or several tasks in each task of an array."""
    task, tasks = _number(environment, "SLURM_PROCID", 0), _number(environment, "SLURM_NTASKS", 1)
    number, count = 0, 1
    if "SLURM_ARRAY_TASK_ID" in environment:
        names = ("ID", "MIN", "MAX", "COUNT")
        index, first, last, count = (_number(environment, f"SLURM_ARRAY_TASK_{name}") for name in names)
        step = _number(environment, "SLURM_ARRAY_TASK_STEP", 1)
        number = (index - first) // step
        if (last - first) // step + 1 != count:
            raise SettingsError(
                f"The Slurm array has {count} tasks between {first} and {last}, so that ranks cannot be told from "
                "their numbers: submit one without gaps, such as --array=0-7."
            )
    on_node = _number(environment, "SLURM_NTASKS_PER_NODE", 1) if tasks > 1 else 1
    return Place(number * tasks + task, count * tasks, _number(environment, "SLURM_LOCALID", 0), on_node)


def _known(world: int | None) -> int:
    if world is None:
        raise SettingsError("The environment says which rank this is and not of how many: add --workers N.")
    return world


def place_here(*, workers: int | None) -> Place:
    """As `place_of`, of this process."""
    return place_of(os.environ, workers=workers)
