"""Rows of a store exchanged, and what is recorded of them edited, with checksums that are right: found and mended."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from weldcache.cache.chunk_files import replace_files
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore

Run = Callable[..., Any]
Do = Callable[[FeatureStore], None]


def exchange_chunks(store: FeatureStore) -> None:
    one, other = (store.path / f"features/sensor/values/c.{row}.0.0" for row in (0, 1))
    held = one.read_bytes()
    shutil.copy(other, one)
    other.write_bytes(held)


def edit(group: str, row: int, value: object) -> Do:
    def change(store: FeatureStore) -> None:
        array = store.records.array(group, "sensor")
        values = array.chunk(0)
        values[row] = value
        replace_files({array.path: {"c.0": array.encoded(values)}})

    return change


@pytest.mark.parametrize(
    ("do", "complete"),  # what is done, and the rows that are complete when it is mended
    [
        (exchange_chunks, []),
        (edit("problem", 1, ""), [0]),  # why a complete row is not whole
        (edit("problem", 0, "another's note"), [0, 1]),  # that it had none can be proved
        (edit("source", 0, json.dumps([["b.csv", 1, 1, "cd" * 32]])), [1]),
        (edit("status", 1, Status.ABSENT), [0, 1]),
        (edit("digest", 1, 7), [0]),
    ],
)
def test_it_is_found_and_mended(weldcache: Run, store: FeatureStore, do: Do, complete: list[int]) -> None:
    do(store)
    arguments = ("verify", "--no-sources", "--cache", str(store.path))
    found = weldcache(*arguments, folder=store.path.parent)
    assert found.code == 1 and "error: digests" in found.out
    weldcache(*arguments, "--mend", folder=store.path.parent)
    statuses = FeatureStore.open(store.path).status("sensor").tolist()
    assert statuses == [int(row in complete) for row in range(3)]
    assert weldcache(*arguments, folder=store.path.parent).code == 0


@pytest.mark.parametrize("group", ["status", "problem", "source", "digest"])
def test_records_that_are_damaged_are_told_by_every_command_and_mended(
    weldcache: Run, store: FeatureStore, group: str
) -> None:
    path = store.path / group / "sensor/c.0"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    cache = ("--cache", str(store.path))
    found = weldcache("verify", "--no-sources", *cache, folder=store.path.parent)
    assert found.code == 1 and f"{group}/sensor/c.0" in found.out and "all can be proved" in found.out
    assert f"{group}/sensor/c.0" in weldcache("info", *cache, folder=store.path.parent).out or group in (
        "source",
        "digest",
    )
    exported = weldcache("export", "--to", "x.h5", *cache, folder=store.path.parent)
    assert exported.code == 1 and "damaged" in exported.err
    weldcache("verify", "--no-sources", "--mend", *cache, folder=store.path.parent)
    assert weldcache("verify", "--no-sources", *cache, folder=store.path.parent).code == 0
    assert FeatureStore.open(store.path).status("sensor").tolist() == [1, 1, 0]


def test_a_verification_that_was_edited_is_not_believed(weldcache: Run, store: FeatureStore) -> None:
    exchange_chunks(store)
    cache = ("--cache", str(store.path))
    assert weldcache("verify", "--no-sources", *cache, folder=store.path.parent).code == 1
    record = Path(store.path / "verification/zarr.json")
    record.write_text(record.read_text().replace('"errors": 2', '"errors": 0'))
    told = weldcache("info", *cache, folder=store.path.parent)
    assert "nothing wrong" not in told.out and "is not what `weldcache verify` left there" in told.out
