"""`weldcache info`: what a store holds, for people and for scripts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.description import SCHEMA_VERSION


def test_json_says_everything_by_fixed_names(weldcache: Callable[..., Any], extracted: Path) -> None:
    outcome = weldcache("info", "--json", folder=extracted)
    assert outcome.code == 0 and outcome.err == ""
    told = json.loads(outcome.raw_out)
    assert (told["schema_version"], told["store_schema_version"]) == (1, SCHEMA_VERSION)
    assert told["path"] == str(extracted / "features.zarr")
    assert (told["num_rows"], told["random_backbones"]) == (38, True)
    assert len(told["fingerprint"]) == 64 and {"torch", "weldcache", "python"} <= told["versions"].keys()
    assert next(iter(told["classes"])) == "good" and len(told["classes"]) == 12
    assert told["classes"]["good"] == {"train": 8, "val": 4, "test": 4}
    assert told["labels"]["normal"] == {"rows": 16, "classes": ["good"]}
    assert told["splits"]["official"]["rows"] == {"train": 8, "val": 15, "test": 15} and told["schema_note"] is None
    assert told["classes"]["porosity"] == {"train": 0, "val": 1, "test": 1}
    assert list(told["feature_sets"]) == ["video", "audio", "image/block_2", "image/block_4", "sensor"]
    for entry in told["feature_sets"].values():
        assert entry["rows"] == {"missing": 0, "complete": 38, "absent": 0, "unreadable": 0}
    tokens = told["feature_sets"]["video"]["arrays"]["tokens"]
    assert (tokens["shape"], tokens["dtype"], tokens["bytes"]) == ([8, 96], "float16", 38 * 8 * 96 * 2)
    assert told["constants"]["text/prompt"]["made_by"]["decoding"] == {"prompt": "a normal weld"}
    health = told["health"]
    assert (health["complete_share"], health["problems"], health["damage"]) == (1.0, [], [])
    pairs = [offset["feature_sets"] for offset in health["onset_offsets"]]
    assert pairs == [["video", "audio"], ["video", "sensor"], ["audio", "sensor"]]
    assert all(offset["num_rows"] == 38 and offset["p95_absolute"] < 3 for offset in health["onset_offsets"])


def test_tables_say_the_same(weldcache: Callable[..., Any], extracted: Path) -> None:
    told = json.loads(weldcache("info", "--json", folder=extracted).raw_out)
    outcome = weldcache("info", "--verbose", folder=extracted)
    assert outcome.code == 0
    brief = weldcache("info", folder=extracted)
    assert len(brief.raw_out.splitlines()) <= 12 and "features.zarr: 100 %: 38 of 38 welds" in brief.out
    assert "split official: train 8, val 15, test 15" in brief.out and "feature sets: video, audio" in brief.out
    assert told["fingerprint"] in outcome.out
    assert "38 welds: 16 normal (good), 22 defects (burnthrough, " in outcome.out
    assert "random-weight demo backbones" in outcome.out
    for name in (
        *told["classes"],
        *told["feature_sets"],
        "video/tokens",
        "image/block_4/patch_tokens",
        "sensor/values",
    ):
        assert name in outcome.out
    assert "100 %: 38 of 38 welds have everything" in outcome.out and "video - sensor" in outcome.out


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_without_a_cache_the_command_that_makes_one(
    weldcache: Callable[..., Any], tmp_path: Path, options: list[str]
) -> None:
    outcome = weldcache("info", "--cache", "nowhere.zarr", *options, folder=tmp_path)
    assert outcome.code == 2 and outcome.out == "" and "Traceback" not in outcome.err
    assert "no feature store at" in outcome.err and "nowhere.zarr" in outcome.err
    assert "weldcache extract" in outcome.err


def test_rows_that_came_after_the_verification_are_not_called_verified(
    weldcache: Callable[..., Any], synthetic: Path, copy_of: Callable[[Path], Path]
) -> None:
    project = copy_of(synthetic)
    sensor = ("--set", "extract.features=[sensor]")
    assert weldcache("extract", "--split", "train", *sensor, folder=project).code == 0
    assert weldcache("verify", *sensor, folder=project).code == 0
    assert "nothing wrong" in weldcache("info", folder=project).out
    assert weldcache("extract", *sensor, folder=project).code == 0
    outcome = weldcache("info", folder=project)
    assert "30 of 38 complete rows have changed or come since" in outcome.out and "nothing wrong" not in outcome.out
