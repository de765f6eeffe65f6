"""Defects in groups: by class, and by further targets of the data set."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from weldcache.cache.targets import Target, TargetSpec, target_of
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.tasks.anomaly.defects import target_results, target_section

COLOURS = TargetSpec("colour", "int8", classes=("blue", "red"), caveat="told by one person alone.")


def colour(table: ScoreTable, *, spec: TargetSpec = COLOURS, **values: str | None) -> dict[str, Target]:
    """A target that has the value `normals` of normals, and of defects `first` of every third one and `others`."""
    told = [
        values["normals"] if label == 0 else values["first"] if row % 3 == 0 else values["others"]
        for row, label in enumerate(table.labels)
    ]
    return {spec.name: target_of(spec, told, keys=table.keys)}


def test_each_value_meets_all_normals_whatever_is_said_of_those(table: ScoreTable) -> None:
    for normals in ("blue", "red", None):
        found = target_results(table, colour(table, normals=normals, first="red", others="blue"))["colour"]
        first = (table.labels == 1) & (np.arange(len(table)) % 3 == 0)
        among = (table.labels == 0) | first
        assert found.by_value["red"].num == np.count_nonzero(first)
        expected = roc_auc_score(table.labels[among], table.scores[among])
        assert found.by_value["red"].auroc.value == pytest.approx(expected)
        assert list(found.by_value) == ["blue", "red"] and found.caveat == COLOURS.caveat


def test_a_target_that_tells_no_defects_apart_is_not_shown(table: ScoreTable) -> None:
    assert target_results(table, colour(table, normals="blue", first="red", others="red")) == {}
    assert target_results(table, colour(table, normals="blue", first="red", others=None)) == {}


def test_label_class_numbers_and_names_without_end_are_not_shown(table: ScoreTable) -> None:
    many = TargetSpec("number", "int16", classes=tuple(map(str, range(len(table)))))
    targets = {
        "class": colour(table, normals="blue", first="red", others="blue")["colour"],
        "number": target_of(many, list(range(len(table))), keys=table.keys),
        "angle": target_of(TargetSpec("angle", "float32"), [1.0] * len(table), keys=table.keys),
        "spots": target_of(
            TargetSpec("spots", "int8", (2,), classes=("no", "yes")), [[0, 1]] * len(table), keys=table.keys
        ),
    }
    assert target_results(table, targets) == {} and target_section({}) is None


def test_a_report_shows_a_row_for_each_value_and_what_is_said_of_the_target(
    table: ScoreTable, make_assessment: Callable[..., object]
) -> None:
    section = target_section(target_results(table, colour(table, normals="blue", first="red", others="blue")))
    assert section is not None and section.points == ["colour: told by one person alone."]
    (rows,) = section.rows
    assert rows.id == "colour" and [row[0] for row in rows.values] == ["blue", "red"]
