"""A few of the welds to be done, read as a run reads them: what speeds are measured with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...progress import say
from ...wording import count_of
from ..features.modality import Prepared
from ..plan import Task
from ..pool.decode_pool import DecodePool
from ..pool.read_task import Failure
from ..request import Request
from .cost import Cost

_WELDS = 3  # a modality, of which the first finds caches cold and libraries not yet imported
_ROUNDS = 4  # of that many, where all welds of a round are broken
_PATIENCE = 60.0  # seconds that decoding one may take here; a run gives it more


@dataclass(frozen=True)
class ProbeWelds:
    """Welds of one modality that could be read, and what that costs."""

    prepared: Sequence[Prepared]
    decode: Cost  # of one, in one process


def read_probe_welds(request: Request, tasks: Sequence[Task], *, workers: int) -> Mapping[str, ProbeWelds]:
    """Read a few of `tasks`, drawn with a fixed seed, one modality at a time; one that nothing can be read of is left
    out, and said to be.

    Where a run decodes in `workers` processes this does in one, so that a file that kills its decoder costs no more
    here than there.
    """
    readers = {modality: encoder.reader for modality, encoder in request.encoders.items()}
    limits = replace(request.limits, seconds=min(request.limits.seconds, _PATIENCE))
    with DecodePool(readers, workers=min(workers, 1), root=request.root, limits=limits) as pool:
        read = {modality: _read(pool, modality, _candidates(tasks, modality)) for modality in readers}
    return {modality: welds for modality, welds in read.items() if welds is not None}


def _candidates(tasks: Sequence[Task], modality: str) -> list[Task]:
    listed = [task for task in tasks if modality in task.decode and task.sample.why_absent(modality) is None]
    chosen = np.random.default_rng(0).permutation(len(listed))[: _WELDS * _ROUNDS]
    return [replace(listed[place], decode=frozenset({modality})) for place in chosen]


def _read(pool: DecodePool, modality: str, candidates: Sequence[Task]) -> ProbeWelds | None:
    why_not = ""
    for start in range(0, len(candidates), _WELDS):
        found: list[tuple[Prepared, float]] = []
        for (read,) in pool.read([[task] for task in candidates[start : start + _WELDS]]):
            outcome = read.prepared[modality]
            if isinstance(outcome, Prepared):
                found.append((outcome, read.seconds))
            elif isinstance(outcome, Failure):
                why_not = f"{read.task.sample.key}: {outcome.reason}"
        if found:
            timed = [seconds for _, seconds in found[1:] or found]
            mean = sum(timed) / len(timed)
            return ProbeWelds([item for item, _ in found], Cost(mean, core_seconds=mean))  # a process has one thread
    if candidates:
        say(
            f"{modality}: of {count_of(len(candidates), 'weld')} tried none could be read, so what it costs is not in "
            f"the estimate. {why_not}"
        )
    return None
