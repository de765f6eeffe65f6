"""Extractions into a bucket: the store that a folder gives, whoever is killed; one writer at a time; no secret."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.inventory import EXTRACTION, INVENTORY
from weldcache.cache.buckets.writing import WRITER
from weldcache.configs.place import BucketUrl, place_of
from weldcache.tests.children import Children, differing, wait_for
from weldcache.tests.extract.engines.conftest import COMMAND, MORTAL
from weldcache.tests.extract.engines.test_ray import Machines

pytestmark = pytest.mark.distributed


@pytest.fixture
def url(s3: Any, tmp_path: Path) -> str:
    return f"{s3.url}/{tmp_path.name}/features.zarr"


def bucket_of(url: str) -> Bucket:
    place = place_of(url)
    assert isinstance(place, BucketUrl)
    return Bucket(place)


def delivered(bucket: Bucket) -> list[str]:
    return [name for name in bucket.listed() if name.startswith(EXTRACTION) and name.endswith(".json")]


def aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def test_a_killed_extraction_goes_on_and_makes_what_a_folder_gets(
    project: Path, by_one: Path, url: str, s3: Any, children: Children, weldcache: Callable[..., Any], tmp_path: Path
) -> None:
    bucket, said = bucket_of(url), []
    child = children.start(*COMMAND, "--cache", url, folder=project, environment=aws())
    wait_for(lambda: len(delivered(bucket)) > 1)
    second = weldcache(*COMMAND, "--cache", url, folder=project)
    assert second.code == 1 and f"{url} is busy: process {child} on" in second.err
    os.kill(child, signal.SIGKILL)
    assert children.wait(child) == -signal.SIGKILL
    written = b"".join(bytes(bucket.read(name)) for name in bucket.listed())
    assert s3.secret.encode() not in written and str(bucket.url).encode() in written
    unread = weldcache("info", "--cache", url, folder=project)
    assert unread.code == 2 and "weldcache extract" in unread.err

    def run(*command: str) -> str:
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
        said.append(outcome.out + outcome.err)
        return outcome.raw_out

    assert 0 < json.loads(run(*COMMAND, "--cache", url, "--json"))["num_tried"] < 38
    held = bucket.listed()
    assert not [name for name in held if name.startswith(EXTRACTION) or name == WRITER]
    assert "38 complete" in run(*COMMAND, "--cache", url) and bucket.listed() == held
    run("mirror", url, "copy.zarr")
    assert [name for name in differing(project / "copy.zarr", by_one / "features.zarr") if "mirror/" not in name] == []
    assert s3.secret not in "".join(said)


def test_new_files_join_a_store_in_a_bucket_and_plan_says_so(
    project: Path,
    by_one: Path,
    url: str,
    weldcache: Callable[..., Any],
    manifest_rows: Callable[[Path], list[dict[str, str]]],
    write_rows: Callable[..., None],
) -> None:
    def run(*command: str) -> str:
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
        return str(outcome.raw_out)

    sensor = ("--set", "extract.features=[sensor]", "--cache")
    rows = manifest_rows(project)
    write_rows(project, rows[:-3])
    run("extract", *sensor, url)
    run("extract", *sensor, "folder.zarr")
    write_rows(project, rows)
    told = json.loads(run("plan", "--no-probe", "--json", *sensor, url))
    assert (told["store"], told["samples"]["to_do"]) == (url, 3)
    assert json.loads(run("extract", "--json", *sensor, url))["num_tried"] == 3
    run("extract", *sensor, "folder.zarr")
    run("mirror", url, "copy.zarr")
    assert [name for name in differing(project / "copy.zarr", project / "folder.zarr") if "mirror/" not in name] == []


def by_one_process(project: Path, children: Children, *options: str) -> Path:
    assert children.wait(children.start(*options, "--cache", "by_one.zarr", folder=project)) == 0
    return project / "by_one.zarr"


@pytest.mark.slow  # each worker imports everything anew
def test_workers_deliver_what_one_makes_though_one_is_killed(
    project: Path,
    url: str,
    children: Children,
    weldcache: Callable[..., Any],
    weld_keys: Callable[..., list[str]],
) -> None:
    """One is ended by a sample, once; the command that hands out the spans then, and is typed again."""
    options = [*MORTAL, "--set", "extract.batch_size=2"]
    deadly = ["--set", f"features.mortal.killed_by={weld_keys(project, 'test')[5]}"]
    deadly += ["--set", f"features.mortal.once={project / 'killed'}", "--set", "features.mortal.seconds=0.2"]
    command = [*options, *deadly, "--workers", "2", "--cache", url]
    child = children.start(*command, folder=project, environment=aws())
    wait_for(lambda: (project / "killed").exists() and len(delivered(bucket_of(url))) > 2)
    os.kill(child, signal.SIGKILL)
    children.wait(child)
    assert INVENTORY in bucket_of(url).listed()
    assert children.wait(children.start(*command, folder=project, environment=aws())) == 0
    assert not [name for name in bucket_of(url).listed() if name.startswith(EXTRACTION) or name == WRITER]
    assert weldcache("mirror", url, "copy.zarr", folder=project).code == 0
    one = by_one_process(project, children, *options)
    assert [name for name in differing(project / "copy.zarr", one) if "mirror/" not in name] == []


@pytest.mark.slow  # each actor imports everything anew
def test_actors_deliver_into_a_bucket_though_a_machine_is_lost(
    project: Path, url: str, s3: Any, with_mortal: dict[str, str], children: Children, weldcache: Callable[..., Any]
) -> None:
    environment = {**with_mortal, **aws()}
    machines = Machines(environment)
    options = [*MORTAL, "--set", "extract.batch_size=2", "--set", "features.mortal.seconds=0.4"]
    command = [sys.executable, "-m", "weldcache", *options, "--cache", url, "--engine", "ray"]
    command += ["--address", machines.address]
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as ran:
        wait_for(lambda: len(delivered(bucket_of(url))) > 2)
        machines.lose_one()
        assert ran.stderr is not None
        said = ran.stderr.read()
    machines.close()
    assert ran.returncode == 0, said
    assert "Another one goes on" in said and s3.secret not in said
    assert weldcache("mirror", url, "copy.zarr", folder=project).code == 0
    one = by_one_process(project, children, *options)
    assert [name for name in differing(project / "copy.zarr", one) if "mirror/" not in name] == []
