"""The report for a terminal: the model, its controls, its classes, its modalities, then what calls for care."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...metrics.estimate import Estimate, percent, span
from ...wording import visible
from ..modalities import unseen_note
from ..results import Assessment, Provenance
from .verdict import DEMO_SENTENCE, verdict

_MODALITY_TITLE = "Without one modality (n: samples that lack it anyway; rescaled: of those, put on one scale)"


def summary(assessment: Assessment, *, provenance: Provenance) -> RenderableType:
    """Something that `rich` prints. All texts are literal: square brackets in a class name are no markup."""
    judged, threshold = verdict(assessment), assessment.threshold
    lines = [
        f"At the threshold {threshold.value:#.4g}, from {threshold.num_normal} validation normals at a target of "
        f"{threshold.target_fpr:.1%}: {percent(threshold.confusion.fpr)} false alarms, "
        f"{percent(threshold.confusion.recall)} of the defects found.",
        f"Average precision {assessment.ap:.3f} (chance {assessment.controls.chance_ap:.3f}).",
        *(f"Warning: {warning}" for warning in assessment.warnings),
    ]
    if provenance.backbones_are_random:
        lines.insert(0, DEMO_SENTENCE)
    return Group(
        _table(assessment, title=f"{provenance.run_name} on {provenance.split} (n: normals/defects)"),
        *_without_modalities(assessment),
        Text(f"{judged.headline}.", style="bold"),
        *(Text(visible(line)) for line in lines),
    )


def _table(assessment: Assessment, *, title: str) -> Table:
    table = Table(title=Text(visible(title)), title_justify="left")
    table.add_column("AUROC of", no_wrap=True)
    for name in ("value", "95% interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("note")
    num_normal, num_defect = assessment.num_normal, assessment.num_defect
    media_free, files = assessment.controls.media_free, assessment.controls.file_metadata
    disjoint = assessment.session_disjoint
    _add(table, "model", assessment.auroc, counts=(num_normal, num_defect), note=None)
    _add(table, "media-free control", media_free.auroc, counts=(num_normal, num_defect), note=media_free.reason)
    _add(table, "file-metadata control", files.auroc, counts=(num_normal, num_defect), note=files.reason)
    _add(table, "random scores", assessment.controls.random, counts=(num_normal, num_defect), note=None)
    whole = assessment.whole
    if whole is not None:
        counts = (whole.num_normal, whole.num_defect)
        _add(table, "model, whole samples", whole.auroc, counts=counts, note="those that lack no modality")
    counts = (disjoint.num_normal, disjoint.num_defect)
    _add(table, "model, unseen sessions", disjoint.auroc, counts=counts, note=disjoint.note)
    _add(table, "model, raw weights", assessment.raw_auroc, counts=(num_normal, num_defect), note=None)
    table.add_section()
    for name, result in assessment.per_class.items():
        _add(table, name, result.auroc, counts=(num_normal, result.num), note=result.note)
    return table


def _without_modalities(assessment: Assessment) -> Iterator[RenderableType]:
    if not assessment.modalities:
        return
    table = Table(title=Text(_MODALITY_TITLE), title_justify="left")
    table.add_column("without", no_wrap=True)
    for name in ("AUROC", "change", "its 95% interval", "n", "rescaled"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, result in assessment.modalities.items():
        numbers = ["none has it", "", ""]
        if result.auroc is not None and result.change is not None:
            numbers = [f"{result.auroc.value:.3f}", f"{result.change.value:+.3f}", span(result.change, sign="+")]
        table.add_row(Text(visible(name)), *numbers, str(result.num_lacking), str(result.num_rescaled))
    yield table
    note = unseen_note(assessment.modalities)
    if note is not None:
        yield Text(note)


def _add(table: Table, name: str, estimate: Estimate | None, *, counts: tuple[int, int], note: str | None) -> None:
    value, interval = ("none", "") if estimate is None else (f"{estimate.value:.3f}", span(estimate))
    table.add_row(Text(visible(name)), value, interval, f"{counts[0]}/{counts[1]}", Text(visible(note or "")))
