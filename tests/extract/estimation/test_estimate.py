"""The estimate: bytes held against real files, a disk that is too small, and what is said of it."""

import json
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.errors import StoreError
from weldcache.extract.estimation import estimate as estimation
from weldcache.extract.estimation.estimate import Estimate, estimate_plan, require_disk_space
from weldcache.extract.estimation.speeds import Cost, Speeds
from weldcache.extract.estimation.told import describe, to_json
from weldcache.extract.features.kind import Features, Prepared, Reader
from weldcache.extract.plan import ExtractPlan, cut_groups, plan_extraction
from weldcache.extract.pool.decoder import Limits
from weldcache.extract.request import Request
from weldcache.extract.sources.source import Sample
from weldcache.settings import Settings
from weldcache.tests.toy import index_of

IMAGE = [
    ArraySpec("patch_tokens", (5, 49, 48), ("view", "patch", "dim"), "float16"),
    ArraySpec("cls", (5, 48), ("v", "d"), "float16"),
]
SPECS = {
    "audio": [FeatureSetSpec("audio", [ArraySpec("tokens_length", (), (), "int32")], {})],
    "image": [FeatureSetSpec("image/block_2", IMAGE, {}), FeatureSetSpec("image/block_4", IMAGE, {})],
}
Usage = namedtuple("Usage", ["total", "used", "free"])


@dataclass(frozen=True)
class Described:
    """An encoder that is its description alone."""

    specs: Sequence[FeatureSetSpec]
    reader: Reader

    def load(self) -> None:
        raise AssertionError("an estimate loads nothing")

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        raise AssertionError("an estimate computes nothing")

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return 0


def welds(num_welds: int, *, without_images: int) -> list[Sample]:
    absent = {"image": "no .jpg"}
    return [
        Sample(
            f"weld {row}",
            "train" if row % 2 else "val",
            "day",
            {"audio": (), **({} if row < without_images else {"image": ()})},
            targets={"label": 0, "class": "good"},
            absent=absent if row < without_images else {},
        )
        for row in range(num_welds)
    ]


def request_for(samples: Sequence[Sample]) -> Request:
    encoders = {name: Described(specs, Mock(spec=Reader, stream=name)) for name, specs in SPECS.items()}
    return Request(Path("data"), samples, ["train", "val"], encoders, {}, Limits())


def plan_for(samples: Sequence[Sample]) -> ExtractPlan:
    """Everything but the audio of the first weld is to be done."""
    statuses = {spec.name: np.zeros(len(samples), dtype=np.uint8) for specs in SPECS.values() for spec in specs}
    statuses["audio"][0] = 1
    row_of = {sample.key: row for row, sample in enumerate(samples)}
    groups = cut_groups(samples, splits=["train", "val"], group_size=4)
    return plan_extraction(groups, row_of=row_of, statuses=statuses, feature_sets=SPECS)


def estimated(path: Path, measured: Speeds | None = None, *, num_welds: int = 10, without_images: int = 3) -> Estimate:
    samples = welds(num_welds, without_images=without_images)
    return estimate_plan(
        request_for(samples), plan_for(samples), measured, group_size=4, workers=2, store_path=path / "features.zarr"
    )


def measured_speeds() -> Speeds:
    return Speeds(
        decode={"audio": Cost(0.5, 0.5), "image": Cost(1.5, 1.5)},
        encode={"audio": Cost(0.25, 0.0), "image": Cost(0.5, 0.0)},
        write={name: Cost(0.0, 0.0) for name in ("audio", "image/block_2", "image/block_4")},
        flops={"audio": 2_000_000_000, "image": 1_660_000_000_000},
        seconds=3.0,
    )


def test_rows_and_bytes_of_what_is_to_be_made(tmp_path: Path) -> None:
    expected = estimated(tmp_path)
    assert (expected.num_rows, expected.num_todo) == (10, 10)
    assert expected.rows_todo["audio"] == {"train": 5, "val": 4}
    assert expected.rows_without_files == {"audio": 0, "image/block_2": 3, "image/block_4": 3}
    assert expected.array_bytes == {
        "audio/tokens_length": 9 * 4,
        "image/block_2/patch_tokens": 7 * 5 * 49 * 48 * 2,
        "image/block_2/cls": 7 * 5 * 48 * 2,
        "image/block_4/patch_tokens": 7 * 5 * 49 * 48 * 2,
        "image/block_4/cls": 7 * 5 * 48 * 2,
    }
    assert expected.feature_bytes == sum(expected.array_bytes.values())


def test_the_disk_holds_a_real_store_of_the_estimated_size(tmp_path: Path) -> None:
    """Hundreds of small files take up far more than their bytes, and not more than was said."""
    num_welds = 60
    samples = welds(num_welds, without_images=0)
    keys = [sample.key for sample in samples]
    index = index_of(
        keys=keys,
        splits=["train"] * num_welds,
        class_names=["good"] * num_welds,
        groups=keys,
        labels=[0] * num_welds,
        attributes={},
    )
    store = FeatureStore.create(tmp_path / "features.zarr", index=index)
    before = taken_up(store.path)
    source = [SourceFile("day/weld/weld.flac", 10, 10, "0" * 64)] * 5
    rows = list(range(num_welds))
    for spec in (*SPECS["audio"], *SPECS["image"]):
        store.add_feature_set(spec)
        values = {
            array.name: np.ones((num_welds, *array.shape), dtype="<i4" if array.dtype == "int32" else "<f2")
            for array in spec.arrays
        }
        StoreWriter(store).write(spec.name, rows, values, sources=[source] * num_welds, notes=[""] * num_welds)
    grown = taken_up(store.path) - before
    expected = estimated(tmp_path, num_welds=num_welds, without_images=0)
    assert expected.feature_bytes < 0.9 * grown
    assert grown <= expected.disk_bytes <= 1.1 * grown + (4 << 20)


def taken_up(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


def test_a_disk_that_is_too_small_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = estimated(tmp_path).disk_bytes
    monkeypatch.setattr(estimation.shutil, "disk_usage", lambda _: Usage(needed, 1, needed - 1))
    expected = estimated(tmp_path)
    assert not expected.enough_disk
    with pytest.raises(
        StoreError, match=r"disk is too small: .*features\.zarr needs 4\.\d+ MB .* 4\.\d+ MB are free.*--cache"
    ):
        require_disk_space(expected)
    monkeypatch.setattr(estimation.shutil, "disk_usage", lambda _: Usage(needed, 0, needed))
    require_disk_space(estimated(tmp_path))


def test_free_space_is_looked_up_where_the_store_will_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def usage(path: Path) -> Usage:
        asked.append(Path(path))
        return Usage(9, 0, 9)

    monkeypatch.setattr(estimation.shutil, "disk_usage", usage)
    assert estimation.free_bytes(tmp_path / "not/yet/there.zarr") == 9
    assert asked == [tmp_path]


def test_extract_is_told_in_three_lines(tmp_path: Path) -> None:
    lines = describe(replace(estimated(tmp_path, measured_speeds()), free_bytes=64_900_000_000))
    assert len(lines) == 3
    assert lines[0].endswith("features.zarr: 10 of 10 samples to do, 336 kB to write, 64.9 GB free.")
    assert "audio 2 GFLOP, image 1.66 TFLOP" in lines[1]
    # 10 x audio, decoded again for the first weld's group, and 7 x image: 15.5 s in two processes; 6 s of backbones.
    assert "decode 1.29, backbones 1.67." in lines[1]
    assert lines[2].startswith("Expected: about ") and "the bottleneck is decode" in lines[2]


def test_without_speeds_only_the_bytes_are_told(tmp_path: Path) -> None:
    assert len(describe(estimated(tmp_path))) == 1


def test_as_json_it_is_whole(tmp_path: Path) -> None:
    told = json.loads(json.dumps(to_json(estimated(tmp_path, measured_speeds())), allow_nan=False))
    assert told["samples"] == {"asked": 10, "to_do": 10, "with_masks": 0}
    assert told["bytes"]["features"] == sum(told["bytes"]["arrays"].values())
    assert told["flops_per_second"] == pytest.approx(1_662e9 / 0.75)
    assert told["seconds_per_sample"]["decode"] == {"audio": 0.5, "image": 1.5}
    expected = told["expected"]
    assert expected["seconds"] == pytest.approx(expected["startup_seconds"] + expected["run_seconds"])
    assert expected["side_seconds"][expected["bottleneck"]] == max(expected["side_seconds"].values())
    bare = to_json(estimated(tmp_path))
    assert bare.keys() == told.keys()
    assert bare["flops"] is bare["seconds_per_sample"] is bare["expected"] is None


@pytest.mark.parametrize(
    ("task", "normal", "told"),
    [("anomaly", "good", True), ("classification", "good", False), ("anomaly", "red", False)],
)
def test_missing_normals_are_told_to_a_training_that_needs_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, normal: str, told: bool
) -> None:
    rows = f"a,train,{normal},1\nb,val,scratch,2\nc,test,{normal},3\n"
    (tmp_path / "table.csv").write_text(f"key,split,class_name,x\n{rows}")
    table = {"source": "table", "root": tmp_path, "split": "split", "class_name": "class_name"}
    settings = Settings.model_validate(
        {
            "data": {**table, "vectors": {"vector": ["x"]}},
            "cache": {"path": tmp_path / "f.zarr"},
            "features": {"columns": {"kind": "vector"}},
            "train": {"task": task},
        }
    )
    assert estimation.estimate(settings, measure=False).num_todo == 3
    said = capsys.readouterr().err
    assert ("no normal sample in val" in said) is told and "several parts" not in said


def test_groups_in_several_parts_of_the_data_sets_own_split_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "table.csv").write_text("key,split,day,x\na,train,mon,1\nb,test,mon,2\nc,test,tue,3\n")
    table = {"source": "table", "root": tmp_path, "split": "split", "group": "day"}
    settings = Settings.model_validate(
        {
            "data": {**table, "vectors": {"vector": ["x"]}},
            "cache": {"path": tmp_path / "f.zarr"},
            "features": {"columns": {"kind": "vector"}},
        }
    )
    estimation.estimate(settings, measure=False)
    said = capsys.readouterr().err
    assert "1 group" in said and "2 samples" in said and "mon in train and test" in said
