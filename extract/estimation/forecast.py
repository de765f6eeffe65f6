"""How long a run will take, from measured speeds: its sides work at the same time, and on a CPU share its cores."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum

from ..busy import SIDES
from ..plan import ExtractPlan
from .cost import Cost
from .probe import Probe


@dataclass(frozen=True)
class Forecast:
    """Seconds of a run."""

    sides: Mapping[str, float]  # side -> what it would take if the others took nothing
    shared: float  # what all sides together need of the cores: the least that a run can take
    run: float  # expected of the run
    startup: float  # expected before it: loading the backbones and measuring

    @property
    def bottleneck(self) -> str:
        """The side that takes longest."""
        return max(SIDES, key=lambda side: self.sides[side])


def forecast(measured: Probe, plan: ExtractPlan, *, rows: Mapping[str, int], workers: int, num_cores: int) -> Forecast:
    """Expect the slowest side's seconds, and the others' only for the group in which they have nothing to overlap with.

    `rows` are those to write of each feature set. Whatever overlaps, the cores' work divided by their number is the
    least that it takes; with no workers, decoding and backbones take turns in one process. Programs that run beside
    it are not reckoned with.
    """
    welds = _welds_read(plan)
    decode, backbones = _total(measured.decode, welds), _total(measured.encode, welds)
    disk = _total(measured.write, rows)
    sides = {
        "decode": decode.seconds / max(min(workers, num_cores), 1),
        "backbones": backbones.seconds,
        "disk": disk.seconds,
    }
    shared = (decode.core_seconds + backbones.core_seconds + disk.core_seconds) / num_cores
    at_once = list(sides.values()) if workers else [sides["decode"] + sides["backbones"], sides["disk"]]
    hidden = fsum(at_once) - max(at_once)  # behind the slowest, but for one group
    overlapped = max(at_once) + hidden / max(len(plan.groups), 1)
    return Forecast(
        sides=sides,
        shared=shared,
        run=max(overlapped, shared),
        startup=measured.seconds,
    )


def _welds_read(plan: ExtractPlan) -> Counter[str]:
    """Welds to read and encode by modality; those known to have no files take no time."""
    tasks = [task for group in plan.groups for task in group]
    return Counter(modality for task in tasks for modality in task.decode if task.sample.why_absent(modality) is None)


def _total(costs: Mapping[str, Cost], counts: Mapping[str, int]) -> Cost:
    return Cost(
        seconds=fsum(counts[name] * cost.seconds for name, cost in costs.items()),
        core_seconds=fsum(counts[name] * cost.core_seconds for name, cost in costs.items()),
    )
