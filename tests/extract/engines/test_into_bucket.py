"""Extractions into a bucket: the store that a folder gives, whoever is killed; one writer at a time; no secret."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.inventory import EXTRACTION
from weldcache.cache.buckets.writing import WRITER
from weldcache.configs.place import BucketUrl, place_of
from weldcache.tests.children import Children, differing, wait_for
from weldcache.tests.extract.engines.conftest import COMMAND

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
