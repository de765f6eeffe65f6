"""Extractions into a bucket: the store that a folder gives, whoever is killed; one writer at a time; no secret."""

import json
import os
import re
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
from weldcache.tests.extract.engines.conftest import MORTAL
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
    below = [name.removeprefix(f"{EXTRACTION}/") for name in bucket.listed() if name.startswith(f"{EXTRACTION}/")]
    return [name for name in below if name.count("/") == 1 and name.endswith(".json")]


def aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


SLOWLY = [*MORTAL, "--set", "extract.batch_size=2", "--set", "features.mortal.seconds=0.3"]


def same_as_one_process_makes(project: Path, url: str, children: Children, weldcache: Callable[..., Any]) -> bool:
    """Whether the store in the bucket is the one that a process makes in a folder, with nothing beside it."""
    beside = [name for name in bucket_of(url).listed() if name.startswith(EXTRACTION) or name == WRITER]
    assert weldcache("mirror", url, "copy.zarr", folder=project).code == 0
    quickly = [*MORTAL, "--set", "extract.batch_size=2", "--cache", "by_one.zarr"]
    assert children.wait(children.start(*quickly, folder=project)) == 0
    names = differing(project / "copy.zarr", project / "by_one.zarr")
    return not beside and not [name for name in names if not name.startswith("mirror/")]


@pytest.mark.slow  # five extractions
def test_a_killed_extraction_goes_on_and_makes_what_a_folder_gets(
    project: Path, url: str, s3: Any, children: Children, weldcache: Callable[..., Any]
) -> None:
    bucket, command = bucket_of(url), [*SLOWLY, "--cache", url]

    def start(said: str) -> int:
        return children.start(*command, folder=project, environment=aws(), said=said)

    first = start("first.txt")
    wait_for(lambda: bool(delivered(bucket)))
    assert children.wait(start("second.txt")) == 1
    assert f"{url} is busy: process {first} on" in (project / "second.txt").read_text()
    os.kill(first, signal.SIGKILL)
    assert children.wait(first) == -signal.SIGKILL
    written = b"".join(bytes(bucket.read(name)) for name in bucket.listed())
    assert s3.secret.encode() not in written and str(bucket.url).encode() in written
    unread = weldcache("info", "--cache", url, folder=project)
    assert unread.code == 2 and "weldcache extract" in unread.err
    assert children.wait(start("again.txt")) == 0
    again = (project / "again.txt").read_text()
    (num_left,) = re.findall(r"(\d+) of 38 welds to do", again)
    assert 0 < int(num_left) < 38 and s3.secret not in again
    held = bucket.listed()
    assert children.wait(start("then.txt")) == 0 and bucket.listed() == held
    assert same_as_one_process_makes(project, url, children, weldcache)


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


@pytest.mark.slow  # five extractions
def test_ranks_deliver_what_one_makes_and_the_last_one_ends_it(
    project: Path, url: str, children: Children, weldcache: Callable[..., Any]
) -> None:
    def start(number: int) -> int:
        environment = {**aws(), "RANK": str(number), "WORLD_SIZE": "2"}
        command = [*SLOWLY, "--cache", url, "--engine", "rank"]
        return children.start(*command, folder=project, environment=environment, said=f"{number}.txt")

    def said() -> str:
        return "".join((project / f"{number}.txt").read_text() for number in range(2))

    first, second = start(0), start(1)
    wait_for(lambda: bool(delivered(bucket_of(url))))
    os.kill(second, signal.SIGKILL)
    assert (children.wait(first), children.wait(second)) == (0, -signal.SIGKILL), said()
    assert weldcache("info", "--cache", url, folder=project).code == 2
    assert children.wait(start(1)) == 0, said()
    assert same_as_one_process_makes(project, url, children, weldcache)


@pytest.mark.slow  # each worker imports everything anew
def test_workers_deliver_what_one_makes_though_one_is_killed(
    project: Path, url: str, children: Children, weldcache: Callable[..., Any], weld_keys: Callable[..., list[str]]
) -> None:
    """One is ended by a sample, once; the command that hands out the spans then, and is typed again."""
    deadly = ["--set", f"features.mortal.killed_by={weld_keys(project, 'test')[5]}"]
    deadly += ["--set", f"features.mortal.once={project / 'killed'}"]
    command = [*SLOWLY, *deadly, "--workers", "2", "--cache", url]
    child = children.start(*command, folder=project, environment=aws())
    wait_for(lambda: (project / "killed").exists() and bool(delivered(bucket_of(url))))
    os.kill(child, signal.SIGKILL)
    children.wait(child)
    assert INVENTORY in bucket_of(url).listed()
    assert children.wait(children.start(*command, folder=project, environment=aws())) == 0
    assert same_as_one_process_makes(project, url, children, weldcache)


@pytest.mark.slow  # each actor imports everything anew
def test_actors_deliver_into_a_bucket_though_a_machine_is_lost(
    project: Path, url: str, s3: Any, with_mortal: dict[str, str], children: Children, weldcache: Callable[..., Any]
) -> None:
    environment = {**with_mortal, **aws()}
    machines = Machines(environment)
    command = [sys.executable, "-m", "weldcache", *SLOWLY, "--cache", url, "--engine", "ray"]
    command += ["--address", machines.address]
    with subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.PIPE, text=True) as ran:
        wait_for(lambda: bool(delivered(bucket_of(url))))
        machines.lose_one()
        assert ran.stderr is not None
        said = ran.stderr.read()
    machines.close()
    assert ran.returncode == 0, said
    assert "Another one goes on" in said and s3.secret not in said
    assert same_as_one_process_makes(project, url, children, weldcache)
