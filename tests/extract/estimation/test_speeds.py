"""Measuring speeds: what it reads, how often it runs a backbone, what it leaves behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from weldcache.atomic import locked_folder
from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.errors import DecodeError, StoreError
from weldcache.extract.estimation import speeds
from weldcache.extract.estimation.speeds import Speeds, measure_speeds
from weldcache.extract.features.kind import Features, Prepared
from weldcache.extract.plan import ExtractPlan, cut_groups, plan_extraction
from weldcache.extract.pool.decoder import Limits
from weldcache.extract.request import Request
from weldcache.extract.sources.source import Sample

BROKEN = b"broken"
GROUP_SIZE = 8


@dataclass
class Reader:
    """Reads one file, whose length becomes the prepared value."""

    modality: str
    read: list[str] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return self.modality

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return sample.files[self.modality]

    def __call__(self, sample: Sample) -> Prepared:
        self.read.append(sample.key)
        content = sample.files[self.modality][0].read_bytes()
        if content == BROKEN:
            raise DecodeError(f"{sample.key} is broken.")
        return Prepared({"value": torch.tensor([float(len(content))])})


@dataclass
class Encoder:
    """Two feature sets; counts what it is asked to do. Takes `seconds` of a clock that stands still otherwise."""

    modality: str
    reader: Reader
    seconds: Callable[[int], float] = lambda num_welds: 0.0
    fails_on: frozenset[float] = frozenset()
    loads: int = 0
    batches: list[int] = field(default_factory=list)
    asked: set[frozenset[str]] = field(default_factory=set)
    clock: list[float] = field(default_factory=lambda: [0.0])

    @property
    def specs(self) -> Sequence[FeatureSetSpec]:
        arrays = [
            ArraySpec("tokens", (100, 3), ("token", "dim"), "float16"),
            ArraySpec("mean", (3,), ("dim",), "float16"),
        ]
        return [FeatureSetSpec(f"{self.modality}/{name}", arrays, {}) for name in ("first", "second")]

    def load(self) -> None:
        self.loads += 1

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        assert self.loads, "encode before load"
        self.batches.append(len(prepared))
        self.asked.add(feature_sets)
        self.clock[0] += self.seconds(len(prepared))
        values = torch.stack([item.tensors["value"] for item in prepared])
        if self.fails_on & set(values.flatten().tolist()):
            raise RuntimeError("not this one")
        return {name: {"tokens": values, "mean": values} for name in feature_sets}

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return 10 * len(feature_sets)


@dataclass(frozen=True)
class Bench:
    """A request over small files, and the folder that they and the store are in."""

    folder: Path
    request: Request
    encoders: dict[str, Encoder]

    def plan(self, *, complete: frozenset[str] = frozenset()) -> ExtractPlan:
        """All rows of all sets but those that are complete."""
        samples = self.request.samples
        sets = {modality: encoder.specs for modality, encoder in self.encoders.items()}
        statuses = {
            spec.name: np.full(len(samples), 1 if spec.name in complete else 0, dtype=np.uint8)
            for specs in sets.values()
            for spec in specs
        }
        row_of = {sample.key: row for row, sample in enumerate(samples)}
        groups = cut_groups(samples, splits=["train"], group_size=GROUP_SIZE)
        return plan_extraction(groups, row_of=row_of, statuses=statuses, feature_sets=sets)

    def measure(self, plan: ExtractPlan | None = None) -> Speeds:
        return measure_speeds(
            self.request,
            plan or self.plan(),
            group_size=GROUP_SIZE,
            workers=0,
            device=torch.device("cpu"),
            store_path=self.folder / "features.zarr",
        )


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    """A bench with modalities `a` and `b`, and 20 welds; `broken` are those whose file of `a` cannot be decoded."""

    def make(*, broken: Sequence[int] = (), num_welds: int = 20, **of_encoder: object) -> Bench:
        samples = []
        for number in range(num_welds):
            files = {}
            for modality in ("a", "b"):
                path = tmp_path / f"{modality}_{number}"
                path.write_bytes(BROKEN if modality == "a" and number in broken else b"x" * (number + 10))
                files[modality] = (path,)
            samples.append(Sample(f"weld {number}", "train", "day", files, targets={"label": 0, "class": "good"}))
        encoders = {name: Encoder(name, Reader(name), **of_encoder) for name in ("a", "b")}  # type: ignore[arg-type]
        request = Request(tmp_path, samples, ["train"], encoders, {}, Limits())
        return Bench(tmp_path, request, encoders)

    return make


def test_a_few_welds_are_read_once_for_each_modality(bench: Callable[..., Bench]) -> None:
    made = bench()
    measured = made.measure()
    for encoder in made.encoders.values():
        assert len(encoder.reader.read) == 3 == len(set(encoder.reader.read))
    assert measured.decode.keys() == measured.encode.keys() == measured.flops.keys() == {"a", "b"}
    assert all(0 < cost.seconds < 5 for cost in measured.decode.values())


def test_the_same_welds_are_read_every_time(bench: Callable[..., Bench]) -> None:
    first, second = bench(), bench()
    first.measure()
    second.measure()
    assert first.encoders["a"].reader.read == second.encoders["a"].reader.read


def test_broken_welds_are_passed_over(bench: Callable[..., Bench]) -> None:
    """Whichever two are whole, they are found among twelve, and the first three may all be broken."""
    whole = {3, 7, 12, 15}
    made = bench(broken=[number for number in range(20) if number not in whole])
    measured = made.measure()
    assert set(measured.decode) == {"a", "b"}
    assert len(made.encoders["a"].reader.read) > 3


def test_a_modality_that_nothing_can_be_read_of_is_left_out(bench: Callable[..., Bench]) -> None:
    made = bench(broken=range(20))
    measured = made.measure()
    assert measured.decode.keys() == measured.encode.keys() == {"b"}
    assert made.encoders["a"].loads == 0
    assert len(made.encoders["a"].reader.read) == 12  # and no more, of however many


def test_only_what_is_to_be_done_is_measured(bench: Callable[..., Bench]) -> None:
    made = bench()
    plan = made.plan(complete=frozenset({"a/first", "b/first", "b/second"}))
    measured = made.measure(plan)
    assert measured.decode.keys() == {"a"} and measured.write.keys() == {"a/second"}
    assert made.encoders["a"].asked == {frozenset({"a/second"})}
    assert measured.flops == {"a": 10}
    assert made.encoders["b"].loads == 0 and made.encoders["b"].reader.read == []


@pytest.mark.parametrize(
    ("seconds", "batches", "expected"),
    [
        (lambda num_welds: 0.05 + 0.01 * num_welds, [1, 1, 8, 8], 0.13 / 8),  # quick: a whole group, warmed up
        (lambda num_welds: 0.1 * num_welds, [1, 1, 8], 0.1),
        (lambda num_welds: 1.0 * num_welds, [1, 1], 1.0),  # slow: one weld, warmed up
        (lambda num_welds: 60.0 * num_welds, [1], 60.0),  # very slow: once
    ],
)
def test_the_slower_a_backbone_the_less_it_is_run(
    bench: Callable[..., Bench],
    monkeypatch: pytest.MonkeyPatch,
    seconds: Callable[[int], float],
    batches: list[int],
    expected: float,
) -> None:
    made = bench(seconds=seconds)
    encoder = made.encoders["a"]
    encoder.clock = made.encoders["b"].clock
    clock = encoder.clock
    monkeypatch.setattr(speeds, "time", Mock(perf_counter=lambda: clock[0], process_time=lambda: clock[0] / 2))
    measured = made.measure()
    assert encoder.batches == batches
    assert measured.encode["a"].seconds == pytest.approx(expected)
    assert measured.encode["a"].core_seconds == pytest.approx(expected / 2)
    assert measured.flops == {"a": 20, "b": 20}
    assert measured.flops_per_second == pytest.approx(20 / expected)


def test_a_backbone_that_fails_on_a_weld_is_tried_on_another(bench: Callable[..., Bench]) -> None:
    made = bench()
    made.measure()
    first_read = made.encoders["a"].reader.read[0]
    length = float(int(first_read.removeprefix("weld ")) + 10)
    again = bench(fails_on=frozenset({length}))
    assert "a" in again.measure().encode


def test_a_backbone_that_fails_on_all_is_left_out_of_the_speeds(bench: Callable[..., Bench]) -> None:
    measured = bench(fails_on=frozenset(float(number) for number in range(100))).measure()
    assert measured.encode == {} and measured.decode.keys() == {"a", "b"}
    assert measured.flops_per_second == 0


def test_nothing_is_left_on_the_disk(bench: Callable[..., Bench]) -> None:
    made = bench()
    before = sorted(made.folder.rglob("*"))
    measured = made.measure()
    assert sorted(made.folder.rglob("*")) == before
    assert measured.write.keys() == {"a/first", "a/second", "b/first", "b/second"}
    assert all(cost.seconds > 0 for cost in measured.write.values())


def test_a_disk_that_refuses_is_told_in_words_and_left_clean(
    bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    before = sorted(made.folder.rglob("*"))

    def refuse(*_: object) -> None:
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(speeds, "write_rows", refuse)
    with pytest.raises(StoreError, match=r"features\.zarr failed: Disk quota exceeded"):
        made.measure()
    assert sorted(made.folder.rglob("*")) == before


def test_what_a_killed_one_left_is_removed_and_what_another_uses_is_not(
    bench: Callable[..., Bench],
) -> None:
    made = bench()
    left, used = (made.folder / f".weldcache-speeds.{name}.tmp" for name in ("01234567", "89abcdef"))
    for folder in (left, used):
        (folder / "a").mkdir(parents=True)
    with locked_folder(used):
        made.measure()
    assert not left.exists() and (used / "a").exists()


def test_threads_are_as_many_as_before(bench: Callable[..., Bench]) -> None:
    before = torch.get_num_threads()
    bench().measure()
    assert torch.get_num_threads() == before
