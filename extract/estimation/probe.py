"""A short measurement on this machine: how fast it decodes, runs the backbones and writes, with welds to be done."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import fsum
from pathlib import Path

import torch

from ..batching import AdaptiveEncoder, encode_group
from ..cores import cores_left_to
from ..features.modality import Prepared
from ..plan import ExtractPlan
from ..request import Request
from .cost import Cost, measure
from .disk import write_costs
from .probe_welds import read_probe_welds

_LONG = 5.0  # seconds; where one weld takes longer, once is enough, warm-up and all
_SHORT = 0.5  # where it takes less, a whole group is timed


@dataclass(frozen=True)
class Probe:
    """Speeds of the three sides, each measured alone; without the modalities of which nothing could be read."""

    decode: Mapping[str, Cost]  # of a weld by modality, in one process, hashing its files included
    encode: Mapping[str, Cost]  # of a weld by modality, in groups as they will run
    write: Mapping[str, Cost]  # of a row by feature set, synced
    flops: Mapping[str, int]  # of a weld by modality, a multiply-add being two
    seconds: float  # that the probe took, loading the backbones included

    @property
    def flops_per_second(self) -> float:
        """What the backbones achieve together; 0 where there are none."""
        timed = [modality for modality in self.encode if self.flops[modality]]
        seconds = fsum(self.encode[modality].seconds for modality in timed)
        return sum(self.flops[modality] for modality in timed) / seconds if seconds else 0.0


def probe(
    request: Request, plan: ExtractPlan, *, group_size: int, workers: int, device: torch.device, store_path: Path
) -> Probe:
    """Read, encode and write a few welds of `plan`; leaves the backbones that it needs loaded, and no file.

    Raises:
        BackboneError: if a backbone's weights are not whole.
        WeldcacheError: if the device does not hold one weld, or decode processes cannot start.
        StoreError: if the disk refuses to be written to.
    """
    started = time.perf_counter()
    welds = read_probe_welds(request, [task for group in plan.groups for task in group], workers=workers)
    todo = frozenset(name for name, rows in plan.rows_todo.items() if rows)
    encode: dict[str, Cost] = {}
    flops: dict[str, int] = {}
    with cores_left_to(workers):
        for modality, read in welds.items():
            encoder = request.encoders[modality]
            wanted = todo & {spec.name for spec in encoder.specs}
            encoder.load()
            flops[modality] = encoder.flops(read.prepared[0], feature_sets=wanted)
            adaptive = AdaptiveEncoder(encoder, modality, at_once=group_size)
            cost = _encode_cost(adaptive, read.prepared, feature_sets=wanted, group_size=group_size, device=device)
            if cost is not None:
                encode[modality] = cost
    specs = [spec for encoder in request.encoders.values() for spec in encoder.specs if spec.name in todo]
    return Probe(
        decode={modality: read.decode for modality, read in welds.items()},
        encode=encode,
        write=write_costs(specs, store_path=store_path, group_size=group_size),
        flops=flops,
        seconds=time.perf_counter() - started,
    )


def _encode_cost(
    encoder: AdaptiveEncoder,
    prepared: Sequence[Prepared],
    *,
    feature_sets: frozenset[str],
    group_size: int,
    device: torch.device,
) -> Cost | None:
    """What a weld costs, or None where the backbone fails on every one of `prepared`."""

    def run(item: Prepared, num_welds: int) -> bool:
        made = encode_group(encoder, dict.fromkeys(range(num_welds), item), feature_sets=feature_sets)
        _wait_for(device)
        return bool(made.rows)

    for item in prepared:
        takes, first = measure(partial(run, item, 1))
        if takes:
            return first if first.seconds > _LONG else _warm_cost(partial(run, item), group_size=group_size)
    return None


def _warm_cost(run: Callable[[int], object], *, group_size: int) -> Cost:
    _, alone = measure(partial(run, 1))
    if alone.seconds > _SHORT or group_size == 1:
        return alone
    _, whole = measure(partial(run, group_size))
    if whole.seconds < _SHORT:  # the first of its shape may be slow, and another costs little
        _, whole = measure(partial(run, group_size))
    return whole.each(group_size)


def _wait_for(device: torch.device) -> None:
    """Return when `device` has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
