"""`weldcache gc`: what nothing reads is shown, then removed, and nothing else is."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.atomic import joint_folder, locked_folder
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter


@pytest.fixture
def littered(linked_copy_of: Callable[[Path], Path], extracted: Path) -> tuple[Path, set[str]]:
    """A project with what a killed extraction may leave, and the names of that."""
    project = linked_copy_of(extracted)
    path = project / "features.zarr"
    store = FeatureStore.open(path)
    StoreWriter(store).report("sensor", 3, Status.UNREADABLE, reason="damaged")
    for folder in ("features/former/values", "status/former"):
        (path / folder).mkdir(parents=True)
        (path / folder / "zarr.json").write_text("{}")
        (path / folder / "c.0").write_bytes(b"1234")
    (path / "status/video/.c.0.part").write_bytes(b"12")
    (project / ".features.01234567.tmp.zarr").mkdir()
    joint_folder(path).mkdir()
    (joint_folder(path) / "job.json").write_text("{}")
    (project / ".features.yaml").write_text("mine")
    names = {"features/former/values", "status/former", "status/video/.c.0.part"}
    names |= {f"features/sensor/{chunk}" for chunk in ("values/c.3.0.0", "times/c.3.0", "arc_on/c.3.0")}
    return project, {f"features.zarr/{name}" for name in names} | {
        ".features.01234567.tmp.zarr",
        ".features.zarr.joint",
    }


def test_gc_shows_then_removes_what_nothing_reads(
    littered: tuple[Path, set[str]], weldcache: Callable[..., Any], contents: Callable[[Path], dict[str, bytes]]
) -> None:
    project, names = littered
    assert all((project / name).exists() for name in names)
    before = contents(project)
    shown = json.loads(weldcache("gc", "--json", folder=project).raw_out)
    assert contents(project) == before and not shown["done"]
    told = {str(Path(item["path"], name)) for item in shown["store"] for name in item["files"] or [""]}
    assert told == {str(project / name) for name in names}
    outcome = weldcache("gc", "--yes", folder=project)
    assert outcome.code == 0 and "not complete" in outcome.out, outcome.err
    kept = {path: data for path, data in before.items() if not path.startswith(tuple(names))}
    assert contents(project) == kept
    assert "left nothing" in weldcache("gc", folder=project).out


def test_gc_cleans_the_runs_where_the_store_is_in_a_bucket(tmp_path: Path, weldcache: Callable[..., Any]) -> None:
    half_removed = tmp_path / "runs/.killed.01234567.tmp"
    half_removed.mkdir(parents=True)
    in_bucket = ("gc", "--yes", "--cache", "s3://team/welds/features.zarr")
    outcome = weldcache(*in_bucket, folder=tmp_path)
    assert outcome.code == 0 and "is in a bucket" in outcome.err, outcome.err
    assert "killed" in outcome.out and "nothing of the store" not in outcome.out and not half_removed.exists()
    assert json.loads(weldcache(*in_bucket, "--json", folder=tmp_path).raw_out)["store"] == []


def test_gc_leaves_a_store_alone_that_is_written_to(
    littered: tuple[Path, set[str]], weldcache: Callable[..., Any]
) -> None:
    project, names = littered
    with locked_folder(project / "features.zarr"):
        outcome = weldcache("gc", "--yes", folder=project)
    assert outcome.code == 1 and "busy" in outcome.err
    assert all((project / name).exists() for name in names)
