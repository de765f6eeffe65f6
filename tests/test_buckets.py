"""The commands on a store in a bucket of a mock S3: the numbers that a folder gives, and no secret written anywhere."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from weldcache import api
from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.inventory import INVENTORY, parse_inventory
from weldcache.configs.place import place_of
from weldcache.errors import StoreError
from weldcache.tests.test_docs import blocks, section, words_of

pytestmark = pytest.mark.distributed

ROOT = Path(__file__).resolve().parents[1]

EPOCHS = ("--set", "train.epochs=2")


@pytest.fixture
def project(linked_copy_of: Callable[[Path], Path], extracted: Path) -> Path:
    return linked_copy_of(extracted)


def documented() -> list[list[str]]:
    """The commands of docs/scale.md on buckets, as their words."""
    text = section((ROOT / "docs" / "scale.md").read_text(encoding="utf-8"), "## Stores in buckets")
    return [words[1:] for line in "".join(blocks(text, "sh")).splitlines() for words in words_of(line)]


@pytest.mark.slow  # three trainings
def test_what_the_docs_do_in_a_bucket_gives_what_a_folder_gives(
    project: Path, s3: Any, weldcache: Callable[..., Any], contents: Callable[[Path], dict[str, bytes]]
) -> None:
    said = []

    def run(*command: str) -> str:
        outcome = weldcache(*command, folder=project)
        assert outcome.code == 0, outcome.err
        said.append(outcome.out + outcome.err)
        return str(said[-1])

    commands = documented()
    assert [command[0] for command in commands] == ["mirror", "info", "verify", "train", "eval", "mirror"]
    for command in commands:
        run(*command, *(("--run", "there", *EPOCHS) if command[0] == "train" else ()))
    (url,) = {word for command in commands for word in command if word.startswith("s3://")}
    run("train", "--run", "here", *EPOCHS)
    assert f"stream from {url}" in run(
        "train", "--run", "streamed", *EPOCHS, "--cache", url, "--set", "train.loading=streamed"
    )
    settings = api.load_settings(folder=project)
    here, *others = [
        api.scores(api.load_run(name, settings=settings))["score"] for name in ("here", "there", "streamed")
    ]
    for scores in others:
        pd.testing.assert_series_equal(scores, here, check_exact=True)
    copy, kept = contents(project / "here.zarr"), contents(project / "features.zarr")
    assert {name: data for name, data in copy.items() if not name.startswith("mirror/")} == kept
    assert api.mirror(url, project / "here.zarr").num_copied == 0
    written = [*contents(project / "runs").values(), *copy.values(), "".join(said).encode()]
    assert not any(s3.secret.encode() in data for data in written)
    assert any(url.encode() in data for data in written)


def test_what_only_a_folder_can_do_is_refused_with_what_to_do(
    project: Path, s3: Any, weldcache: Callable[..., Any]
) -> None:
    url = f"{s3.url}/nowhere"
    for command in (["split", "mine"], ["verify", "--mend"], ["import", "a.h5"]):
        outcome = weldcache(*command, "--cache", url, folder=project)
        assert outcome.code == 2 and f"weldcache mirror FOLDER {url}" in outcome.err, outcome.err
    outcome = weldcache("extract", "--status", "--cache", url, folder=project)
    assert outcome.code == 2 and url in outcome.err and "each rank" in outcome.err


def test_what_is_wrong_with_a_bucket_is_said(
    project: Path, s3: Any, weldcache: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(url: str) -> str:
        outcome = weldcache("info", "--cache", url, folder=project)
        assert outcome.code == 2 and s3.secret not in outcome.err
        return str(outcome.err)

    assert "There is no feature store at s3://team/nothing" in said("s3://team/nothing")
    assert "There is no bucket elsewhere" in said("s3://elsewhere/features.zarr")
    assert "credentials" in said("s3://tester:key@team/features.zarr")
    s3.checks_keys(True)
    try:
        assert "403 InvalidAccessKeyId" in said("s3://team/features.zarr")
    finally:
        s3.checks_keys(False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert "cannot be reached" in said("s3://team/features.zarr")


@pytest.mark.parametrize("upwards", [True, False])
def test_a_killed_mirror_goes_on(
    upwards: bool,
    project: Path,
    s3: Any,
    weldcache: Callable[..., Any],
    contents: Callable[[Path], dict[str, bytes]],
    child_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    url = f"{s3.url}/{tmp_path.name}/features.zarr"
    if not upwards:
        assert weldcache("mirror", "features.zarr", url, folder=project).code == 0
    places = ["features.zarr", url] if upwards else [url, "copy.zarr"]
    # Slow enough to be killed on the way: every object that is done is written down at once.
    code = (
        "import sys, time; from weldcache.cache.buckets import bucket, inventory; inventory._INTERVAL = 0.0\n"
        f"method = {'write' if upwards else 'read'!r}; works = getattr(bucket.Bucket, method)\n"
        "def slowly(*a, **k): time.sleep(0.05); return works(*a, **k)\n"
        "setattr(bucket.Bucket, method, slowly); from weldcache.cli.main import run\n"
        "sys.exit(run(['mirror', *sys.argv[1:]]))"
    )
    environment = {**child_environment, **{name: os.environ[name] for name in os.environ if name.startswith("AWS_")}}
    child = subprocess.Popen([sys.executable, "-c", code, *places], cwd=project, env=environment)
    begun = False
    while not begun and child.poll() is None:
        time.sleep(0.05)
        begun = _num_done(url if upwards else str(project / "copy.zarr")) > 5
    assert begun
    child.send_signal(signal.SIGKILL)
    child.wait()
    again = weldcache("mirror", *places, folder=project)
    assert again.code == 0, again.err
    num_objects, num_copied = map(int, re.findall(r"(\d+) (?:objects|copied)", again.out))
    assert 0 < num_copied < num_objects - 4
    if upwards:
        brought = json.loads(weldcache("mirror", url, "copy.zarr", "--json", folder=project).raw_out)
        assert brought["num_copied"] == brought["num_objects"] and brought["num_bytes"] > 0
    copy = contents(project / "copy.zarr")
    assert {name: data for name, data in copy.items() if not name.startswith("mirror/")} == contents(
        project / "features.zarr"
    )


def _num_done(place: str) -> int:
    """How many objects an unfinished mirror says that it has by now."""
    where = place_of(place)
    try:
        path = isinstance(where, Path)
        content = (where / INVENTORY).read_bytes() if path else bytes(Bucket(where).read(INVENTORY))
    except (StoreError, OSError):
        return 0
    return len(parse_inventory(content, where=place).objects)
