"""A named pipe, a device or a folder in a store where a file belongs: nobody waits for it.

Each test would never end, or end in a traceback, if one of them was opened as a file is.
"""

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weldcache.cache.store import FeatureStore
from weldcache.cache.verification.outcome import read_record
from weldcache.cache.verification.verify import mend_store, verify_store
from weldcache.cache.writer import StoreWriter
from weldcache.errors import StoreError, WeldcacheError

pytestmark = pytest.mark.slow  # each waits to see that nothing waits for ever

PARTS = [
    "zarr.json",
    "index/keys/zarr.json",
    "index/keys/c/0",
    "index/keys/c",
    "status/sensor/c.0",
    "status/sensor",
    "status/sensor/zarr.json",
    "source/sensor/c.0",
    "problem/sensor/c.0",
    "digest/sensor/c.0",
    "features/sensor/values/c.0.0.0",
    "features/sensor/values/zarr.json",
    "constants/text/prompt/c/0",
    "verification/zarr.json",
]


def replace(path: Path, kind: str) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
    os.mkfifo(path) if kind == "pipe" else path.mkdir()


@pytest.mark.parametrize("kind", ["pipe", "folder"])
@pytest.mark.parametrize("part", PARTS)
def test_a_pipe_or_a_folder_is_no_file(
    store: FeatureStore, use_in_every_way: Callable[[Path], None], part: str, kind: str
) -> None:
    replace(store.path / part, kind)
    try:
        findings = [finding for check in verify_store(FeatureStore.open(store.path)) for finding in check.findings]
        assert findings or part == "verification/zarr.json"
        assert read_record(store.path) is None
    except WeldcacheError as error:
        assert "stranger.zarr" in str(error)
    with contextlib.suppress(WeldcacheError, IsADirectoryError):  # a folder that is in the way is not removed
        use_in_every_way(store.path)


@pytest.mark.parametrize("part", ["status/sensor/.c.0.part", "features/sensor/values/.c.2.0.0.part"])
def test_a_pipe_under_a_temporary_name_is_not_waited_for(store: FeatureStore, part: str) -> None:
    os.mkfifo(store.path / part)
    values = {"values": np.ones((1, 4, 6), np.float32)}
    with pytest.raises(StoreError):
        StoreWriter(store).write("sensor", [2], values, sources=[[]], notes=[""])
    assert store.status("sensor").tolist() == [1, 1, 0]
    mend_store(store, [finding for check in verify_store(store) for finding in check.findings])
    StoreWriter(store).write("sensor", [2], values, sources=[[]], notes=[""])
    assert store.status("sensor").tolist() == [1, 1, 1]


def test_commands_say_it(weldcache: Callable[..., Any], store: FeatureStore) -> None:
    replace(store.path / "status/sensor/c.0", "folder")
    replace(store.path / "features/sensor/values/c.1.0.0", "pipe")
    for command in (["info"], ["verify", "--no-sources"]):
        outcome = weldcache(*command, "--cache", str(store.path), folder=store.path.parent)
        assert "fault of weldcache" not in outcome.err, outcome.err
    # The digest of the row with the pipe proves nothing without its chunk.
    assert outcome.code == 1 and "status/sensor/c.0" in outcome.out and "1 of them is lost: b" in outcome.out
