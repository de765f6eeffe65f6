"""The terminal's table: the model, its controls, its classes, and literal text."""

import io
from collections.abc import Callable
from dataclasses import replace

from rich.console import Console

from weldcache.evaluate.report.terminal import render_terminal
from weldcache.evaluate.scores import ScoreTable
from weldcache.evaluate.section import Provenance, Report
from weldcache.evaluate.tasks.anomaly.figures import Assessment

MakeAssessment = Callable[..., Assessment]
MakeReport = Callable[..., Report]


def _printed(report: Report, *, details: bool = True) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(render_terminal(report, details=details))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _line(text: str, name: str) -> str:
    """What stands behind a name in a table."""
    (found,) = [line.split(name, 1)[1] for line in text.splitlines() if line.strip().startswith(f"{name} ")]
    return " ".join(found.split())


def test_holds_the_numbers_and_the_warnings(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport, provenance: Provenance
) -> None:
    assessment = make_assessment(replace(table, attributes={}))
    text = _printed(make_report(assessment, table))
    assert _line(text, "AUROC").startswith(f"{assessment.auroc.value:.3f} ")
    assert _line(text, "Random scores").startswith(f"{assessment.controls.random.value:.3f} ")
    assert _line(text, "Media-free control") == "none the data set records no attributes beside the media"
    assert _line(text, "Defects found").startswith(f"{assessment.confusion.recall.value:.1%} ")
    told = _line(text, "spatter")
    assert told.startswith("30 ") and f") {assessment.per_class['spatter'].auroc.value:.3f} (" in told
    assert "Demo with random-weight backbones" in text
    assert "- There is no media-free control" in text
    pretrained = make_report(assessment, table, provenance=replace(provenance, random_features=[]))
    assert "random-weight" not in _printed(pretrained)
    partly = replace(provenance, random_features=["video", "audio"], trained_features=["image/block_7"])
    told = " ".join(_printed(make_report(assessment, table, provenance=partly)).split())
    assert "video and audio come from untrained networks, image/block_7 from trained ones" in told


def test_tables_of_detail_are_shown_to_who_asks(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    report = make_report(make_assessment(table), table)
    title = "Where the normals of each group lie"
    assert title not in _printed(report, details=False) and title in _printed(report)


def test_the_verdict_and_its_gravest_point_come_first_and_the_rest_is_counted(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    report = make_report(make_assessment(table), table)
    lines = _printed(report, details=False).splitlines()
    (verdict,) = [section for section in report.sections if section.look == "verdict"]
    assert lines[0].startswith(f"{report.provenance.title} on test: {verdict.title[:40]}") and len(lines) <= 12
    assert lines[2].startswith("AUROC  ") or lines[1].startswith("AUROC  ")
    assert sum(line.startswith("- ") for line in lines) == min(1, len(verdict.points))
    (further,) = [line for line in lines if line.startswith("--verbose shows ")]
    assert ("note" in further) == (len(verdict.points) > 1) and "section" in further
    assert "--verbose" not in _printed(report)


def test_the_model_without_each_modality(
    table: ScoreTable, rich_assessment: Assessment, make_report: MakeReport
) -> None:
    text = _printed(make_report(rich_assessment, table))
    assert _line(text, "video") == "0.700 (0.610 to 0.780) -0.151 (-0.220 to -0.080) 3 2"
    assert _line(text, "Whole samples only").startswith("0.830 0.750 to 0.900 ")
    assert "Training never left out video: " in text


def test_a_model_that_can_do_without_nothing_has_no_such_table(
    table: ScoreTable, make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    text = _printed(make_report(make_assessment(table), table))
    assert "Without one modality" not in text and "Whole samples" not in text


def test_brackets_in_a_class_name_are_text(
    make_table: Callable[..., ScoreTable], make_assessment: MakeAssessment, make_report: MakeReport
) -> None:
    table = make_table(classes=("[bold]crack[/nonsense]",))
    assert "[bold]crack[/nonsense]" in _printed(make_report(make_assessment(table), table))
