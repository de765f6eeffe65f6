"""Who the rows are, as the data set changes: appended, left out, taken in again, relabelled; never by accident."""

from collections.abc import Callable
from dataclasses import replace

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


def test_other_attributes_are_refused_with_the_mend_and_taken_over_on_request(make_index: MakeIndex) -> None:
    index, two = make_index(3), np.array([0, 1])
    plain = {name: getattr(index, name).tolist() for name in ("keys", "class_names", "groups", "labels")}
    steel = index.attributes["STEEL_TYPE"].tolist()
    attributes = {"STEEL_TYPE": steel, "RATE": [1.0, 2.0, 3.0], "LINE": ["a", "b", "c"]}
    other = index_of(**plain, splits=index.parts.tolist(), attributes=attributes)
    for data_set in (other, other.select(two)):
        with pytest.raises(FingerprintError, match="only the cache has the attribute CURRENT_A") as error:
            following(index, data_set)
        assert "--relabel" in str(error.value)
    followed = following(index, other, relabel=True)
    assert {name: column.tolist() for name, column in followed.attributes.items()} == attributes
    assert following(followed, other) is followed
    # What is said for the first time contradicts nothing.
    assert following(
        replace(index, attributes={"STEEL_TYPE": other.attributes["STEEL_TYPE"]}), other
    ).attributes.keys() == {*attributes}
    # Of a row that the data set does not have nothing is known.
    gone = following(index, other.select(two), relabel=True).attributes
    assert gone["LINE"].tolist() == ["a", "b", ""] and np.isnan(gone["RATE"][2]) and gone["STEEL_TYPE"][2] == steel[2]
