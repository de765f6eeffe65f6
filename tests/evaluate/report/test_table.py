"""The terminal's table: the model, its controls, its classes, and literal text."""

import io
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from weldcache.evaluate.report.table import summary
from weldcache.evaluate.results import Assessment, Provenance
from weldcache.evaluate.scores import ScoreTable


def _printed(assessment: Assessment, provenance: Provenance) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(summary(assessment, provenance=provenance))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_holds_the_numbers_and_the_warnings(
    table: ScoreTable, make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    assessment = make_assessment(replace(table, attributes={}))
    text = _printed(assessment, provenance)
    lines = {line.split("│")[1].strip(): line for line in text.splitlines() if line.startswith("│")}
    assert f"{assessment.auroc.value:.3f}" in lines["model"]
    assert f"{assessment.controls.random.value:.3f}" in lines["random scores"]
    assert "none" in lines["media-free control"]
    assert f"{assessment.per_class['spatter'].auroc.value:.3f}" in lines["spatter"]
    assert "Demo with random-weight backbones" in text
    assert "Warning: There is no media-free control" in text
    assert "Demo" not in _printed(assessment, replace(provenance, backbones_are_random=False))


def test_the_model_without_each_modality(rich_assessment: Assessment, provenance: Provenance) -> None:
    text = _printed(rich_assessment, provenance)
    lines = {line.split("│")[1].strip(): line.split("│") for line in text.splitlines() if line.startswith("│")}
    assert [cell.strip() for cell in lines["video"][2:-1]] == ["0.700", "-0.151", "-0.220 to -0.080", "3", "2"]
    assert [cell.strip() for cell in lines["model, whole samples"][2:5]] == ["0.830", "0.750 to 0.900", "58/89"]
    assert "Training never left out video: " in text


def test_a_model_that_can_do_without_nothing_has_one_table(
    table: ScoreTable, make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    text = _printed(make_assessment(table), provenance)
    assert "Without one modality" not in text and "whole samples" not in text


def test_brackets_in_a_class_name_are_text(
    make_table: Callable[..., ScoreTable], make_assessment: Callable[..., Assessment], provenance: Provenance
) -> None:
    assert "[bold]crack[/nonsense]" in _printed(
        make_assessment(make_table(classes=("[bold]crack[/nonsense]",))), provenance
    )
