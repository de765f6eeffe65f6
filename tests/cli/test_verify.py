"""`weldcache verify`: what it prints, how it exits, and the way from a damaged chunk to a whole store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr

Run = Callable[..., Any]


def damage(project: Path, file: str = "features/video/tokens/c.3.0.0") -> None:
    path = project / "features.zarr" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def test_a_good_store_exits_zero_and_says_what_was_checked(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path
) -> None:
    project = copy_of(extracted)
    outcome = weldcache("verify", "--live", "1", "-v", folder=project)
    assert outcome.code == 0 and outcome.out.startswith("Nothing is wrong"), outcome.out
    for name in (
        "metadata",
        "status",
        "checksums",
        "digests",
        "values",
        "variation",
        "duplicates",
        "data set",
        "source files",
    ):
        assert name in outcome.out
    assert "Nothing is wrong" in outcome.out and "Tolerance: half a unit in the last place" in outcome.out
    record = dict(zarr.open_group(project / "features.zarr", mode="r")["verification"].attrs)
    assert {"created", "rows", "findings", "errors", "warnings", "live", "fingerprint"} <= record.keys()
    assert (record["rows"], record["findings"], record["errors"], record["warnings"]) == (38, 0, 0, 0)
    assert record["live"] == {"samples": 1, "seed": 0, "passed": True}


def test_from_a_damaged_chunk_to_a_whole_store(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path, contents: Callable[[Path], dict[str, bytes]]
) -> None:
    project = copy_of(extracted)
    before = rows_of(contents(project / "features.zarr"))
    damage(project)
    damage(project, "status/sensor/c.0")
    damage(project, "source/audio/c.0")
    damage(project, "constants/text/prompt/c/0")
    outcome = weldcache("verify", folder=project)
    assert outcome.code == 1 and "Traceback" not in outcome.err
    assert "features/video/tokens/c.3.0.0" in outcome.out and "weldcache verify --mend" in outcome.out
    assert "not compared to the end" in outcome.out
    told = weldcache("verify", "--mend", "--no-sources", "--json", folder=project)
    assert told.code == 1
    report = json.loads(told.raw_out)
    assert (report["errors"], report["warnings"], report["mended"]) == (4, 0, 4)
    assert {finding["check"] for finding in report["findings"]} == {"checksums", "metadata"}
    assert {finding["part"] for finding in report["findings"]} == {
        "video/tokens",
        "sensor",
        "audio",
        "constants/text/prompt",
    }
    assert weldcache("extract", folder=project).code == 0
    assert weldcache("verify", "--no-sources", folder=project).code == 0
    assert rows_of(contents(project / "features.zarr")) == before


def rows_of(files: dict[str, bytes]) -> dict[str, bytes]:
    """All but the record of a verification."""
    return {name: data for name, data in files.items() if not name.startswith("verification")}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_store_that_cannot_be_opened_is_reported_like_any_other_damage(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path, options: list[str]
) -> None:
    project = copy_of(extracted)
    damage(project, "index/keys/c/0")
    outcome = weldcache("verify", *options, folder=project)
    assert outcome.code == 1 and "index of the store is damaged" in outcome.out
    if options:
        assert json.loads(outcome.raw_out)["errors"] == 1


def test_without_a_cache_the_command_that_makes_one(weldcache: Run, tmp_path: Path) -> None:
    outcome = weldcache("verify", "--cache", "nowhere.zarr", folder=tmp_path)
    assert outcome.code == 2 and outcome.out == ""
    assert "no feature store at" in outcome.err and "weldcache extract" in outcome.err


def test_a_text_vector_without_its_description_is_mended(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path
) -> None:
    project = copy_of(extracted)
    for gone, live in (("prompt/zarr.json", ["--live", "1"]), ("zarr.json", [])):
        (project / "features.zarr/constants/text" / gone).unlink()
        outcome = weldcache("verify", "--mend", "--no-sources", *live, folder=project)
        assert outcome.code == 1 and "Traceback" not in outcome.err and "mended" in outcome.out
        assert weldcache("extract", folder=project).code == 0
    outcome = weldcache("verify", "--no-sources", folder=project)
    assert outcome.code == 0, outcome.out


@pytest.mark.parametrize("contents", [None, "", "{}"])
def test_a_store_whose_description_is_gone_is_damaged_and_not_absent(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path, contents: str | None
) -> None:
    project = copy_of(extracted)
    description = project / "features.zarr/zarr.json"
    description.unlink() if contents is None else description.write_text(contents)
    for options in ([], ["--mend"]):
        outcome = weldcache("verify", "--json", *options, folder=project)
        assert outcome.code == 1 and json.loads(outcome.raw_out)["errors"] == 1, outcome.err
    outcome = weldcache("verify", folder=project)
    assert outcome.code == 1 and "error: metadata:" in outcome.out


def test_a_description_that_was_changed_is_a_finding(
    weldcache: Run, copy_of: Callable[[Path], Path], extracted: Path
) -> None:
    project = copy_of(extracted)
    description = project / "features.zarr/zarr.json"
    metadata = json.loads(description.read_text())
    metadata["attributes"]["weldcache"]["batching"] = {"group_size": 999}
    description.write_text(json.dumps(metadata))
    outcome = weldcache("verify", "--json", folder=project)
    assert outcome.code == 1 and json.loads(outcome.raw_out)["errors"] == 1, outcome.out
