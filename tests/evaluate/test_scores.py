"""The score table: what it refuses, and how it is cut."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.errors import MetricError
from weldcache.evaluate.scores import ScoreTable


def test_select_keeps_rows_whole(table: ScoreTable) -> None:
    rows = np.flatnonzero(table.labels == 1)[::7]
    mask = np.zeros(len(table), dtype=bool)
    mask[rows] = True
    chosen = table.select(mask)
    assert len(chosen) == rows.size
    for position, row in enumerate(rows):
        assert chosen.keys[position] == table.keys[row]
        assert chosen.class_names[position] == table.class_names[row]
        assert chosen.scores[position] == table.scores[row]
        assert chosen.attributes["steel"][position] == table.attributes["steel"][row]


@pytest.mark.parametrize("name", ["scores", "raw_scores"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_not_finite_names_its_sample(table: ScoreTable, name: str, bad: float) -> None:
    values = getattr(table, name).copy()
    values[3] = bad
    with pytest.raises(MetricError, match=f"1 of 150 {name} are not finite, the first is of 'test/0003'"):
        replace(table, **{name: values})


def test_a_column_of_another_length_is_named(table: ScoreTable) -> None:
    with pytest.raises(MetricError, match="150 keys but 149 values of groups"):
        replace(table, groups=table.groups[1:])
    with pytest.raises(MetricError, match="150 keys but 2 values of attribute 'gas'"):
        replace(table, attributes={"gas": np.array([1.0, 2.0])})


def test_a_key_that_occurs_twice_is_named(table: ScoreTable) -> None:
    with pytest.raises(MetricError, match="'test/0001' occurs 2 times"):
        replace(table, keys=("test/0001", *table.keys[1:]))


def test_a_third_label_is_refused(make_table: Callable[..., ScoreTable]) -> None:
    table = make_table(num_normal=2, num_defect=2)
    with pytest.raises(MetricError, match="0 \\(normal\\), 1"):
        replace(table, labels=np.array([0, 1, 2, 1]))
