"""Maps of new samples are those that `eval` writes of the same files."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache import api
from weldcache.errors import NotFoundError
from weldcache.tests.evaluate.new.conftest import Run


def maps_in(folder: Path) -> dict[str, Any]:
    """What a folder of maps holds, by sample, feature and view, without the names of its files."""
    told = json.loads((folder / "maps.json").read_text())
    found = {name: told[name] for name in ("version", "run", "colours")}
    for kind in ("pictures", "times"):
        for each in told[kind]:
            scores, overlay = each.pop("scores"), each.pop("overlay", None)
            where = f"{kind} {each['key']} {each['feature']} {each.get('view')}"
            array = np.load(folder / scores, allow_pickle=False)
            drawn = None if overlay is None else (folder / overlay).read_bytes()
            found[where] = (each, array.shape, array.dtype, array.tobytes(), drawn)
    return found


def test_maps_of_pictures_are_those_of_eval_to_the_last_bit(
    weldcache: Run, parts: Path, table: Path, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    outcome = weldcache("score", str(table), "--run", "patches", "--maps", str(maps), folder=parts)
    assert outcome.code == 1 and "9 maps" in outcome.err  # two parts have no picture
    assert maps_in(maps) == maps_in(parts / "maps")
    lines = [row["key"] for row in csv.DictReader(outcome.raw_out.splitlines())]
    told = json.loads((maps / "maps.json").read_text())["pictures"]
    assert [int(each["scores"][:5]) for each in told] == [lines.index(each["key"]) + 1 for each in told]
    before = (maps / "maps.json").stat().st_mtime_ns
    assert weldcache("score", str(table), "--run", "patches", "--maps", str(maps), folder=parts).code == 2
    assert (maps / "maps.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("run", "options", "told"),
    [
        ("joined", [], "joined: its model looks at nothing that has places"),
        ("patches", ["--watch"], "--watch"),
        ("patches", ["--out", "maps/scores.csv"], "elsewhere"),
    ],
)
def test_maps_that_cannot_be_had_are_refused_before_anything_is_scored(
    weldcache: Run, parts: Path, table: Path, tmp_path: Path, run: str, options: list[str], told: str
) -> None:
    options = [option.replace("maps/", f"{tmp_path}/maps/") for option in options]
    outcome = weldcache("score", str(table), "--run", run, "--maps", str(tmp_path / "maps"), *options, folder=parts)
    assert outcome.code == 2 and told in outcome.err and outcome.raw_out == "" and not list(tmp_path.iterdir())


def test_where_nothing_can_be_scored_there_are_lines_and_no_maps(weldcache: Run, parts: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("key,photo,s1,s2,s3\nx,,1,2,3\n")
    outcome = weldcache("score", "new.csv", "--run", "patches", "--maps", "maps", "--out", "o.csv", folder=tmp_path)
    assert outcome.code == 2 and "runs" in outcome.err
    options = ["--set", f"runs.folder={parts / 'runs'}", "--maps", "maps", "--out", "o.csv"]
    outcome = weldcache("score", "new.csv", "--run", "patches", *options, folder=tmp_path)
    assert (
        outcome.code == 1 and "photo is empty" in outcome.err and "photo is empty" in (tmp_path / "o.csv").read_text()
    )
    assert not (tmp_path / "maps").exists()


def test_a_notebook_may_ask_for_maps(parts: Path, table: Path, tmp_path: Path) -> None:
    run = api.load_run("joined", settings=api.load_settings(folder=parts))
    with pytest.raises(NotFoundError, match="places"):
        api.score(run, table, maps=tmp_path / "maps")


@pytest.mark.slow
def test_maps_over_time_are_those_of_eval_to_the_last_bit(
    weldcache: Run,
    judged: Path,
    weld_keys: Callable[..., list[str]],
    runs_of: Callable[[Path], Path],
    tmp_path: Path,
    undrawn: None,
) -> None:
    project, inbox, keys = runs_of(judged), tmp_path / "inbox", weld_keys(judged, "test")
    for key in keys:
        (inbox / key).parent.mkdir(parents=True, exist_ok=True)
        (inbox / key).symlink_to(judged / key)
    (inbox / "manifest.csv").write_text("SUBDIRS\n" + "".join(f"{key}\n" for key in keys))
    assert weldcache("eval", "--run", "first", "--maps", "../theirs", folder=project).code == 0
    outcome = weldcache("score", "../inbox", "--run", "first", "--maps", "../mine", folder=project)
    assert outcome.code == 0, outcome.err
    mine = maps_in(tmp_path / "mine")
    assert mine == maps_in(tmp_path / "theirs") and {name.split()[0] for name in mine} >= {"pictures", "times"}
