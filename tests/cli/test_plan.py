"""`weldcache plan`: before there is a store, beside a whole one and a half one; it changes nothing."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from weldcache.cache.store import FeatureStore

Run = Callable[..., Any]
Contents = Callable[[Path], dict[str, bytes]]
KEYS = {
    "schema_version",
    "store",
    "samples",
    "rows",
    "rows_without_files",
    "bytes",
    "enough_disk",
    "workers",
    "group_size",
    "flops",
    "flops_per_second",
    "seconds_per_sample",
    "expected",
}


def planned(weldcache: Run, project: Path, *arguments: str) -> dict[str, Any]:
    outcome = weldcache("plan", "--json", *arguments, folder=project)
    assert outcome.code == 0, outcome.err
    told: dict[str, Any] = json.loads(outcome.raw_out)
    return told


def test_before_there_is_a_store_it_makes_none(
    weldcache: Run, copy_of: Callable[[Path], Path], synthetic: Path, contents: Contents
) -> None:
    project = copy_of(synthetic)
    shutil.rmtree(project / "demo_backbones")  # which alone it may make
    before = contents(project)
    told = planned(weldcache, project)
    after = {path: content for path, content in contents(project).items() if not path.startswith("demo_backbones/")}
    assert after == before
    assert told.keys() == KEYS
    masked = len(list(synthetic.rglob("masks")))
    assert told["samples"] == {"asked": 38, "to_do": 38, "with_masks": masked} and masked
    assert told["rows"]["video"] == {"train": 8, "val": 15, "test": 15}
    assert set(told["rows"]) == {"video", "audio", "image/block_2", "image/block_4", "sensor"}
    assert all(told["flops"][modality] > 1e6 for modality in ("video", "audio", "image"))
    assert told["flops"]["sensor"] == 0
    assert told["seconds_per_sample"]["disk"].keys() == told["rows"].keys()
    assert told["expected"]["seconds"] > 0 and told["enough_disk"] is True


def test_it_foretells_the_bytes_that_extract_writes(weldcache: Run, synthetic: Path, extracted: Path) -> None:
    told = planned(weldcache, synthetic, "--no-probe", "--cache", str(synthetic / "nowhere.zarr"))
    assert told.keys() == KEYS and told["expected"] is None
    for array, count in told["bytes"]["arrays"].items():
        chunks = list((extracted / "features.zarr/features" / array).glob("c.*"))
        assert sum(chunk.stat().st_size - 4 for chunk in chunks) == count, array  # less their checksums


def test_beside_a_whole_store_there_is_nothing_to_do(weldcache: Run, extracted: Path, contents: Contents) -> None:
    before = contents(extracted)
    outcome = weldcache("plan", folder=extracted)
    assert outcome.code == 0 and "0 of 38 welds to do" in outcome.out
    told = planned(weldcache, extracted)
    assert told["samples"]["to_do"] == told["bytes"]["features"] == told["bytes"]["on_disk"] == 0
    assert told["expected"] is None
    assert contents(extracted) == before


def test_beside_a_half_store_the_rest_is_planned_and_nothing_changed(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path, contents: Contents
) -> None:
    project = copy_of(extracted)
    store = FeatureStore.open(project / "features.zarr")
    for feature_set in store.feature_sets:
        store.forget(feature_set, np.flatnonzero(store.index.parts != "val"))
    before = contents(project)
    told = planned(weldcache, project)
    assert told["rows"]["audio"] == {"train": 8, "test": 15}
    assert (
        planned(weldcache, project, "--split", "val", "--no-probe")["samples"].items()
        >= {"asked": 15, "to_do": 0}.items()
    )
    another_block = planned(weldcache, project, "--split", "val", "--set", "features.image.blocks=[2,3,4]")
    assert {name: sum(rows.values()) for name, rows in another_block["rows"].items() if rows} == {"image/block_3": 15}
    assert another_block["seconds_per_sample"]["decode"].keys() == {"image"}
    assert contents(project) == before


def test_tables_fit_eighty_columns_and_name_the_bottleneck(weldcache: Run, synthetic: Path) -> None:
    outcome = weldcache("plan", "-v", "--cache", str(synthetic / "nowhere.zarr"), folder=synthetic)
    assert outcome.code == 0
    lines = outcome.raw_out.splitlines()
    assert max(len(line) for line in lines if not line.startswith(str(synthetic))) <= 80
    assert sum(line.rstrip(" │").endswith("bottleneck") for line in lines) == 1
    assert "image/block_2/patch_tokens" in outcome.out and "Expected: " in outcome.out
    assert not (synthetic / "nowhere.zarr").exists()


def test_what_extract_would_refuse_is_refused(weldcache: Run, extracted: Path, contents: Contents) -> None:
    before = contents(extracted)
    outcome = weldcache("plan", "--set", "features.video.num_frames=8", folder=extracted)
    assert outcome.code == 2 and "num_frames: the cache has 16, the request 8" in outcome.err
    assert contents(extracted) == before


def test_without_measuring_another_making_is_refused_or_planned_anew(
    weldcache: Run, extracted: Path, contents: Contents
) -> None:
    before, other = contents(extracted), ("--set", "features.video.num_frames=8")
    outcome = weldcache("plan", "--no-probe", *other, folder=extracted)
    assert outcome.code == 2 and "num_frames: the cache has 16, the request 8" in outcome.err
    assert "--refresh" in outcome.err and not outcome.out
    anew = planned(weldcache, extracted, "--no-probe", "--refresh", *other)
    assert {name for name, rows in anew["rows"].items() if rows} == {"video"}
    assert sum(anew["rows"]["video"].values()) == anew["samples"]["to_do"] == 38
    assert anew["expected"] is None and anew["flops"] is None
    assert contents(extracted) == before


def test_a_changed_file_is_told(
    weldcache: Run, extracted: Path, copy_of: Callable[[Path], Path], weld_keys: Callable[..., list[str]]
) -> None:
    project = copy_of(extracted)
    key = weld_keys(project, "train")[0]
    sensors = next((project / key).glob("*.csv"))
    sensors.write_text(sensors.read_text() + "\n")
    outcome = weldcache("plan", folder=project)
    assert outcome.code == 2 and key in outcome.err and "--refresh" in outcome.err
    told = planned(weldcache, project, "--refresh", "--no-probe")
    assert told["samples"]["to_do"] == 1 and told["rows"]["sensor"] == {"train": 1}
    anew = planned(weldcache, project, "--refresh", "--no-probe", "--set", "features.sensor.num_steps=64")
    assert sum(anew["rows"]["sensor"].values()) == 38 and not anew["rows"]["video"]
    part = weldcache("plan", "--refresh", "--split", "val", "--set", "features.sensor.num_steps=64", folder=project)
    assert part.code == 2 and "leave out --split" in part.err


def test_something_else_in_the_stores_place_is_told(weldcache: Run, synthetic: Path, tmp_path: Path) -> None:
    outcome = weldcache("plan", "--no-probe", "--cache", str(tmp_path), folder=synthetic)
    assert outcome.code == 2 and "is not a complete feature store" in outcome.err


def test_welds_without_files_are_counted(
    weldcache: Run, copy_of: Callable[[Path], Path], synthetic: Path, weld_keys: Callable[..., list[str]]
) -> None:
    project = copy_of(synthetic)
    shutil.rmtree(project / weld_keys(project, "test")[0] / "images")
    told = planned(weldcache, project, "--no-probe")
    assert told["rows_without_files"]["image/block_2"] == 1 and told["rows_without_files"]["audio"] == 0
    row_bytes = told["bytes"]["arrays"]["image/block_2/views_present"] / 37
    assert row_bytes == 5
