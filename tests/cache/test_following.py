"""Who the rows are, as the data set changes: appended, left out, taken in again, relabelled; never by accident."""

from collections.abc import Callable

import numpy as np
import pytest

from weldcache.cache.following import disagreements, following
from weldcache.cache.index import Index
from weldcache.cache.splits import LEFT_OUT
from weldcache.errors import FingerprintError
from weldcache.tests.toy import index_of

MakeIndex = Callable[..., Index]


def changed(index: Index, **columns: list[object]) -> Index:
    """The index with other values in some columns."""
    plain = {name: getattr(index, name).tolist() for name in ("keys", "class_names", "groups", "labels")}
    plain["splits"] = index.parts.tolist()
    attributes = {name: column.tolist() for name, column in index.attributes.items()}
    return index_of(**plain | columns, attributes=attributes)  # type: ignore[arg-type]


def test_an_equal_data_set_changes_nothing(make_index: MakeIndex) -> None:
    index = make_index(4)
    assert following(index, make_index(4)) is index
    assert following(index, make_index(4), relabel=True) is index


def test_rows_that_are_not_listed_are_left_out_until_they_are_again(make_index: MakeIndex) -> None:
    index = make_index(4)
    without = following(index, make_index(6).select(np.array([0, 2, 5])))
    assert without.keys.tolist() == ["day/000", "day/001", "day/002", "day/003", "day/005"]
    assert without.parts.tolist() == ["train", LEFT_OUT, "train", LEFT_OUT, "train"]
    assert without.attributes["CURRENT_A"].tolist() == [100, 101, 102, 103, 105]
    again = following(without, make_index(4))
    assert again.parts.tolist() == ["train", "train", "train", "train", LEFT_OUT]
    assert following(without, make_index(6).select(np.array([0, 2, 5]))) is without


def test_what_the_data_set_says_otherwise_is_refused_with_the_mend_and_taken_over_on_request(
    make_index: MakeIndex,
) -> None:
    index = make_index(3)
    corrected = changed(
        index,
        splits=["train", "val", "train"],
        class_names=["good", "excessive_penetration", "good"],
        labels=[0, 1, 0],
    )
    with pytest.raises(FingerprintError, match=r"day/001: split is train in the cache, val in the data") as error:
        following(index, corrected)
    assert "3 entries" in str(error.value) and "--relabel" in str(error.value)
    relabelled = following(index, corrected, relabel=True)
    for name, column in relabelled.columns().items():
        assert column.tolist() == corrected.columns()[name].tolist(), name
    assert (
        disagreements(index, relabelled).keys() == {"day/001"} and len(disagreements(index, relabelled)["day/001"]) == 3
    )


def test_other_columns_are_another_layout(make_index: MakeIndex) -> None:
    index = make_index(2)
    bare = index_of(keys=["day/000"], splits=["train"], class_names=["good"], groups=["day"], labels=[0], attributes={})
    for relabel in (False, True):
        with pytest.raises(FingerprintError, match="CURRENT_A, STEEL_TYPE"):
            following(index, bare, relabel=relabel)
