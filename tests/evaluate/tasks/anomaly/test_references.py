"""Published figures stand beside the classes of their names, and nowhere else."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from weldcache.evaluate.figures import Intervals
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Report, Section
from weldcache.evaluate.tasks.anomaly.figures import Assessment
from weldcache.extract.sources.welds.classes import CLASS_NAMES, GOOD
from weldcache.train.recipes.published import Reference, Referenced, published, references_of
from weldcache.train.recipes.recipe import make_recipe
from weldcache.train.settings import RECIPES


@pytest.fixture
def by_class(
    table: ScoreTable, make_assessment: Callable[..., Assessment], make_report: Callable[..., Report]
) -> Callable[..., Section]:
    """The section of classes porosity, spatter and undercut, beside figures of these classes."""

    def make(**figures: float) -> Section:
        known = {name: Reference(name, "auroc", value, "Somebody 2020") for name, value in figures.items()}
        report = make_report(replace(make_assessment(table), references=known), table)
        return next(section for section in report.sections if section.id == "by_class")

    return make


def test_a_class_of_the_data_has_its_published_figure(by_class: Callable[..., Section]) -> None:
    section = by_class(spatter=0.93, warping=0.75)
    (rows,), figure = section.rows, section.figures[0]
    place = [column.id for column in rows.columns].index("reference")
    assert {row[0]: row[place] for row in rows.values} == {"porosity": None, "spatter": 0.93, "undercut": None}
    assert isinstance(figure, Intervals)
    marked = {name: mark for (name, _, _), mark in zip(figure.rows, figure.marks, strict=True)}
    assert marked == {"porosity (30)": None, "spatter (30)": 0.93, "undercut (30)": None}
    assert "Somebody 2020" in section.note[0]


def test_without_classes_of_these_names_nothing_is_said(by_class: Callable[..., Section]) -> None:
    section = by_class(warping=0.75)
    assert "reference" not in [column.id for column in section.rows[0].columns] and len(section.note) == 1
    assert section.figures[0] == by_class().figures[0]


def test_how_many_of_each_class_are_found_adds_up_to_what_is_found_of_all(
    by_class: Callable[..., Section], table: ScoreTable, make_assessment: Callable[..., Assessment]
) -> None:
    (rows,), assessment = by_class().rows, make_assessment(table)
    column = {each.id: place for place, each in enumerate(rows.columns)}
    found = sum(row[column["found"]].value * row[column["num"]] for row in rows.values)  # type: ignore[union-attr, operator]
    assert round(found) == np.count_nonzero(table.scores[table.labels == 1] > assessment.threshold.value) > 0


@pytest.mark.parametrize(("name", "best"), [("causal_film", 0.990), ("video_ae", 0.987)])
def test_what_shipped_recipes_know_is_of_classes_that_there_are(name: str, best: float) -> None:
    recipe = make_recipe(RECIPES.section(name)())  # type: ignore[arg-type]
    assert isinstance(recipe, Referenced) and references_of(recipe) == published(name)
    found = {each.class_name: each.value for each in published(name)}
    assert found["porosity"] == best and set(found) == {*CLASS_NAMES.values()} - {GOOD}
    assert all(0.5 < value < 1 for value in found.values()) and {each.metric for each in published(name)} == {"auroc"}
