"""The size of a group: what is set or remembered wins; what is measured fits the memory and is worth it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.store import FeatureStore
from weldcache.errors import WeldcacheError
from weldcache.extract.batching import CPU_GROUP_SIZE
from weldcache.extract.estimation import group_size
from weldcache.extract.estimation.group_size import Trial, Work, choose_group_size, known_group_size, measure_group_size
from weldcache.extract.estimation.speeds import Cost, ReadSamples
from weldcache.extract.features.kind import Features, Prepared
from weldcache.extract.request import Request
from weldcache.extract.settings import ExtractSettings
from weldcache.extract.sources.source import Sample
from weldcache.settings import Settings

SPECS = [FeatureSetSpec("a", [ArraySpec("tokens", (3,), ("dim",), "float16")], {})]


class Reader:
    stream = "image"

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return ()

    def __call__(self, sample: Sample) -> Prepared:
        raise AssertionError("nothing is to be read")


@dataclass
class Encoder:
    """Runs out of memory above `fits` welds; fails on the weld 13; time passes on a clock of its own."""

    seconds: Callable[[int], float]
    fits: int = 1000
    clock: list[float] = field(default_factory=lambda: [0.0])
    batches: list[int] = field(default_factory=list)

    specs = SPECS
    reader = Reader()

    def load(self) -> None:
        pass

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        if any(item.tensors["number"] == 13 for item in prepared):
            raise ValueError("unlucky")
        self.batches.append(len(prepared))
        if len(prepared) > self.fits:
            raise torch.OutOfMemoryError
        self.clock[0] += self.seconds(len(prepared))
        return {name: {"tokens": torch.zeros(len(prepared), 3)} for name in feature_sets}

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return 0


def chosen(
    encoder: Encoder, *, memory: Callable[[int], float] = lambda size: 0.0, numbers: Sequence[int] = (0,)
) -> int:
    """The size measured for an encoder, on a device of which a group takes the share `memory`."""

    def gauge(work: Work) -> Trial:
        started = encoder.clock[0]
        work()
        return Trial(encoder.clock[0] - started, memory(encoder.batches[-1]))

    prepared = [Prepared({"number": torch.tensor(number)}) for number in numbers]
    return measure_group_size({"a": encoder}, {"a": ReadSamples(prepared, Cost(1.0, 1.0))}, gauge=gauge)


def test_it_grows_while_throughput_does() -> None:
    """A fixed cost of 8 a batch: from 32 to 64 welds throughput still gains a tenth, to 16 much more."""
    assert chosen(Encoder(lambda size: 8 + size)) == 64
    assert chosen(Encoder(lambda size: 1 + size)) == 16  # 16 / 17 to 32 / 33 is 3 per cent
    assert chosen(Encoder(lambda size: size)) == 1
    assert chosen(Encoder(lambda size: size if size <= 4 else 2 * size)) == 1
    assert chosen(Encoder(lambda size: 1.0 if size <= 4 else size)) == 4


def test_it_is_64_at_most() -> None:
    encoder = Encoder(lambda size: 1.0)
    assert chosen(encoder) == 64
    assert max(encoder.batches) == 64


@pytest.mark.parametrize(("fits", "expected"), [(1, 1), (2, 2), (11, 8), (63, 32)])
def test_it_fits_the_memory(fits: int, expected: int) -> None:
    assert chosen(Encoder(lambda size: 1.0, fits=fits)) == expected


def test_it_leaves_memory_for_longer_recordings() -> None:
    assert chosen(Encoder(lambda size: 1.0), memory=lambda size: size / 20) == 16
    assert chosen(Encoder(lambda size: 1.0), memory=lambda size: 0.95) == 1


def test_a_device_that_does_not_hold_one_weld_is_told() -> None:
    with pytest.raises(WeldcacheError, match="does not hold one sample of a"):
        chosen(Encoder(lambda size: 1.0, fits=0))


def test_a_weld_that_the_backbone_fails_on_is_passed_over() -> None:
    assert chosen(Encoder(lambda size: 1.0), numbers=(13, 0)) == 64
    assert chosen(Encoder(lambda size: 1.0), numbers=(13,)) == CPU_GROUP_SIZE


def settings(**extract: object) -> Settings:
    return Settings(extract=ExtractSettings.model_validate({"device": "cpu", **extract}))


def store(**batching: int) -> FeatureStore:
    made: FeatureStore = Mock(spec=FeatureStore, batching=batching)
    return made


def test_the_setting_wins_then_the_store_then_the_cpus_own() -> None:
    assert known_group_size(store(group_size=5), settings(batch_size=3)) == 3
    assert known_group_size(store(group_size=5), settings()) == 5
    assert known_group_size(store(), settings()) == known_group_size(None, settings()) == CPU_GROUP_SIZE


def test_on_cuda_it_is_measured_unless_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_size, "resolve_device", lambda *_, **__: torch.device("cuda"))
    monkeypatch.setattr(group_size, "read_samples", lambda *_, **__: {})
    monkeypatch.setattr(group_size, "measure_group_size", lambda *_, **__: 32)
    request = Mock(spec=Request, encoders={})
    assert choose_group_size(None, request, settings()) == 32
    assert choose_group_size(store(group_size=5), request, settings()) == 5
    assert choose_group_size(None, request, settings(batch_size=3)) == 3
