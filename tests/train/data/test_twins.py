"""Rows that were made from the same files, and a file that all were made from."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from weldcache.cache.arrays import ArraySpec, FeatureSetSpec
from weldcache.cache.status import SourceFile, source_numbers
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter
from weldcache.errors import NotFoundError
from weldcache.tests.toy import index_of
from weldcache.train.data.samples import Twins, choose_samples, find_twins
from weldcache.train.tasks import AnomalyTask
from weldcache.train.types import FeatureRequest, Needs

ROWS = 4
RECIPE = Mock(needs=Mock(return_value=Needs((FeatureRequest("numbers", "values"),))))


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


def write(store: FeatureStore, sources: list[SourceFile]) -> None:
    values = np.arange(2.0 * ROWS, dtype=np.float32).reshape(ROWS, 2)
    of_rows = [(source,) for source in sources]
    StoreWriter(store).write("numbers", list(range(ROWS)), {"values": values}, sources=of_rows, notes=[""] * ROWS)


def twins_of(store: FeatureStore) -> Twins:
    """Of the validation rows with those that are trained on."""
    return find_twins(store, np.array([2, 3]), np.array([0, 1]), recipe=RECIPE)


@pytest.mark.parametrize(
    ("contents", "same"),
    [("abcd", {}), ("abca", {"part 3": "part 0"}), ("aaaa", {})],
    ids=["own files", "one under two names", "one table of all"],
)
def test_what_shares_a_file_is_a_twin_unless_all_do(store: FeatureStore, contents: str, same: dict[str, str]) -> None:
    write(store, [SourceFile("a", 1, 0, content * 64) for content in contents])
    twins = twins_of(store)
    assert dict(twins.same) == same and not twins.sharing


def test_equal_numbers_of_a_table_are_no_recording(store: FeatureStore) -> None:
    write(store, [source_numbers("vector", [float(number)]) for number in (1, 2, 3, 1)])
    twins = twins_of(store)
    assert not twins.same and not twins.sharing


def test_validation_that_train_has_under_other_names_is_said_to_be_that(store: FeatureStore) -> None:
    write(store, [SourceFile("a", 1, 0, content * 64) for content in "abab"])
    with pytest.raises(NotFoundError, match=r"2 normals there, and 2 .*\(part 2 = part 0, part 3 = part 1\)"):
        choose_samples(store, RECIPE, task=AnomalyTask(), monitor="val_loss")
