"""How many samples go through the backbones together: as set, as the store remembers, or as the device does best."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch

from ...cache.store import FeatureStore
from ...configs.device import resolve_device
from ...settings import Settings
from ..batching import CPU_GROUP_SIZE, AdaptiveEncoder, encode_group
from ..features.kind import Encoder, Prepared
from ..request import Request
from ..sides import num_workers
from .speeds import ReadSamples, read_samples

_LARGEST = 64  # beyond it a batch gains nothing, and an interruption costs a group
_MEMORY_SHARE = 0.8  # of the device; the rest is for samples larger than those that are tried
_GAIN = 1.05  # of throughput that doubling must bring

Work: TypeAlias = Callable[[], object]


@dataclass(frozen=True)
class Trial:
    """A group put through the backbones: the seconds it took, and the share of the device's memory in use at most."""

    seconds: float
    memory: float


def choose_group_size(store: FeatureStore | None, request: Request, settings: Settings) -> int:
    """The setting where there is one; else what `store` remembers; else fixed on a CPU and measured on CUDA.

    Measuring loads the backbones and takes some seconds.

    Raises:
        BackboneError: if a backbone's weights are not whole.
    """
    known = known_group_size(store, settings)
    if known is not None:
        return known
    jobs = request.plan(store, group_size=1).jobs
    read = read_samples(request, jobs, workers=num_workers(settings.extract))
    gauge = cuda_gauge(resolve_device(settings.extract.device, setting="extract.device"))
    size = measure_group_size(request.encoders, read, gauge=gauge)
    torch.cuda.empty_cache()  # the size that did not fit has filled the device
    return size


def known_group_size(store: FeatureStore | None, settings: Settings) -> int | None:
    """What need not be measured: None where it must be."""
    if settings.extract.batch_size != "auto":
        return settings.extract.batch_size
    if store is not None and "group_size" in store.batching:
        return store.batching["group_size"]
    device = resolve_device(settings.extract.device, setting="extract.device")
    return None if device.type == "cuda" else CPU_GROUP_SIZE


def measure_group_size(
    encoders: Mapping[str, Encoder], read: Mapping[str, ReadSamples], *, gauge: Callable[[Work], Trial]
) -> int:
    """Double the group while it fits the memory and throughput grows; one sample is the least.

    `gauge` tries a piece of work, and may let torch.OutOfMemoryError through.

    Raises:
        BackboneError: if a backbone's weights are not whole.
        WeldcacheError: if the device does not hold one sample.
    """
    found = {feature: _sample(encoders[feature], feature, few) for feature, few in read.items()}
    samples = {feature: sample for feature, sample in found.items() if sample is not None}
    if not samples:
        return CPU_GROUP_SIZE
    best, rate, size = 1, 0.0, 1
    while size <= _LARGEST:
        try:
            trial = gauge(partial(_encode_all, encoders, samples, size))
        except torch.OutOfMemoryError:
            break
        if trial.memory > _MEMORY_SHARE or size / trial.seconds < _GAIN * rate:
            break
        best, rate = size, size / trial.seconds
        size *= 2
    return best


def cuda_gauge(device: torch.device) -> Callable[[Work], Trial]:
    """What tries a piece of work on a CUDA device: once to warm up, once to be timed."""

    def gauge(work: Work) -> Trial:
        work()
        torch.cuda.synchronize(device)
        started = time.perf_counter()
        work()
        torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started
        # PyTorch keeps what it has reserved, so this is the most that was in use, by other programs too.
        free, total = torch.cuda.mem_get_info(device)
        return Trial(seconds=seconds, memory=1 - free / total)

    return gauge


def _sample(encoder: Encoder, feature: str, read: ReadSamples) -> Prepared | None:
    """A sample that the backbone takes; also brings the weights to the device."""
    encoder.load()
    alone = AdaptiveEncoder(encoder, feature, at_once=1)
    return next(
        (item for item in read.prepared if encode_group(alone, {0: item}, feature_sets=_sets(encoder)).rows), None
    )


def _encode_all(encoders: Mapping[str, Encoder], samples: Mapping[str, Prepared], size: int) -> None:
    made = [
        encoders[feature].encode([sample] * size, feature_sets=_sets(encoders[feature]))
        for feature, sample in samples.items()
    ]
    del made  # not before the last: a run has the features of a whole group in memory


def _sets(encoder: Encoder) -> frozenset[str]:
    return frozenset(spec.name for spec in encoder.specs)
