"""The commands on a store in a bucket of a mock S3: the numbers that a folder gives, and no secret written anywhere."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache import api
from weldcache.cache.buckets.bucket import Bucket
from weldcache.cache.buckets.inventory import INVENTORY, parse_inventory
from weldcache.configs.place import place_of
from weldcache.errors import StoreError

pytestmark = pytest.mark.distributed

EPOCHS = ("--set", "train.epochs=2")


@pytest.fixture
def project(linked_copy_of: Callable[[Path], Path], extracted: Path) -> Path:
    return linked_copy_of(extracted)


@pytest.mark.slow  # five trainings and judgements
def test_every_command_says_the_same_of_a_bucket(
    project: Path, s3: Any, weldcache: Callable[..., Any], contents: Callable[[Path], dict[str, bytes]], tmp_path: Path
) -> None:
    url = f"{s3.url}/{tmp_path.name}/features.zarr"
    told = []

    def both(*command: str, run: str = "") -> None:
        """The command on the folder and on the bucket."""
        for name, place in (("here", ()), ("there", ("--cache", url))):
            named = ("--run", name) if run else ()
            outcome = weldcache(*command, *place, *named, folder=project)
            assert outcome.code == 0, outcome.err
            told.append(outcome.out + outcome.err)

    sent = weldcache("mirror", "features.zarr", url, folder=project)
    assert sent.code == 0, sent.err
    assert " 0 copied" in weldcache("mirror", "features.zarr", url, folder=project).out
    both("info")
    both("verify", "--no-sources")
    both("train", *EPOCHS, run="yes")
    both("eval", run="yes")
    streamed = ("--set", "train.loading=streamed", "--cache", url, "--run", "streamed")
    outcome = weldcache("train", *EPOCHS, *streamed, folder=project)
    assert outcome.code == 0 and f"stream from {url}" in outcome.err, outcome.err
    settings = api.load_settings(folder=project)
    by_run = [
        api.scores(api.load_run(name, settings=settings))["score"].to_numpy() for name in ("here", "there", "streamed")
    ]
    for scores in by_run[1:]:
        np.testing.assert_array_equal(scores, by_run[0])
    came = weldcache("mirror", url, "copy.zarr", folder=project)
    assert came.code == 0, came.err
    copy = {name: data for name, data in contents(project / "copy.zarr").items() if not name.startswith("mirror/")}
    kept = {name: data for name, data in contents(project / "features.zarr").items() if not name.startswith("verif")}
    assert {name: data for name, data in copy.items() if not name.startswith("verif")} == kept
    written = [*contents(project / "runs").values(), *contents(project / "copy.zarr").values(), "".join(told).encode()]
    assert not any(s3.secret.encode() in data for data in written)
    assert any(url.encode() in data for data in written)


def test_what_only_a_folder_can_do_is_refused_with_what_to_do(
    project: Path, s3: Any, weldcache: Callable[..., Any]
) -> None:
    url = f"{s3.url}/nowhere"
    for command in (["extract"], ["plan"], ["split", "mine"], ["verify", "--mend"], ["import", "a.h5"]):
        outcome = weldcache(*command, "--cache", url, folder=project)
        assert outcome.code == 2 and f"weldcache mirror FOLDER {url}" in outcome.err, outcome.err


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
        assert weldcache("mirror", url, "copy.zarr", folder=project).code == 0
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
