"""Rows that were made from the same files, and a file that all were made from."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import SourceFile
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.tests.toy import index_of
from weldcache.train.data.samples import find_twins
from weldcache.train.types import FeatureRequest, Needs

ROWS = 4


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    names = [f"part {row}" for row in range(ROWS)]
    index = index_of(
        keys=names,
        splits=["train", "train", "val", "val"],
        class_names=["good"] * ROWS,
        groups=names,
        labels=[0] * ROWS,
        attributes={},
    )
    made = FeatureStore.create(tmp_path / "s.zarr", index=index)
    made.add_feature_set(FeatureSetSpec("numbers", [ArraySpec("values", (2,), ("dim",), "float32")], {}))
    return made


def write(store: FeatureStore, contents: list[str]) -> None:
    values = np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2)
    sources = [(SourceFile("a", 1, 0, content * 64),) for content in contents]
    StoreWriter(store).write("numbers", list(range(ROWS)), {"values": values}, sources=sources, notes=[""] * ROWS)


@pytest.mark.parametrize(
    ("contents", "same"),
    [("abcd", {}), ("abca", {"part 3": "part 0"}), ("aaaa", {})],
    ids=["own files", "one under two names", "one table of all"],
)
def test_what_shares_a_file_is_a_twin_unless_all_do(store: FeatureStore, contents: str, same: dict[str, str]) -> None:
    write(store, list(contents))
    recipe = Mock(needs=Mock(return_value=Needs((FeatureRequest("numbers", "values"),))))
    twins = find_twins(store, np.array([2, 3]), np.array([0, 1]), recipe=recipe)
    assert dict(twins.same) == same and not twins.sharing
