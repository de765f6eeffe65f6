"""Sections of the HTML report: each function turns numbers into one escaped fragment."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

import numpy as np

from ...metrics.estimate import Estimate, percent, span
from ...metrics.threshold import exceedance_rate
from ...wording import from_to
from ..results import Assessment, Provenance, Spread
from ..scores import ScoreTable
from .verdict import DEMO_SENTENCE, verdict

_NUM_WORST = 8


def banner(provenance: Provenance) -> str:
    """A line across the page where the numbers come from a demo; empty otherwise."""
    return f'<p class="banner">{escape(DEMO_SENTENCE)}</p>' if provenance.backbones_are_random else ""


def verdict_box(assessment: Assessment) -> str:
    """The verdict, coloured by its standing."""
    judged = verdict(assessment)
    return (
        f'<div class="verdict {judged.standing.value}"><h2>{escape(judged.headline)}</h2>'
        f"<p>{escape(judged.explanation)}</p></div>"
    )


def headline(assessment: Assessment) -> str:
    """The model's AUROC, large, with the controls beside it."""
    media_free, files = assessment.controls.media_free, assessment.controls.file_metadata
    disjoint = assessment.session_disjoint
    counts = f"{disjoint.num_normal} normal, {disjoint.num_defect} defect"
    tiles = [
        _tile("Media-free control", media_free.auroc, note=media_free.reason or "settings alone, no recordings"),
        _tile("File-metadata control", files.auroc, note=files.reason or "number, size and length of files alone"),
        _tile("Random scores", assessment.controls.random, note="canary: belongs near 0.5"),
        _tile("Unseen sessions only", disjoint.auroc, note=f"{counts}; {disjoint.note}" if disjoint.note else counts),
    ]
    if assessment.whole is not None:
        whole = assessment.whole
        counts = f"{whole.num_normal} normal, {whole.num_defect} defect that lack no modality"
        tiles.insert(0, _tile("Whole samples only", whole.auroc, note=counts))
    model = assessment.auroc
    return (
        f'<div class="hero"><div class="score"><span class="label">AUROC</span>'
        f'<strong id="auroc">{model.value:.3f}</strong><span class="interval">95% interval {span(model)}</span>'
        f"<span>{assessment.num_normal} normal, {assessment.num_defect} defect samples</span></div>"
        f'<div class="tiles">{"".join(tiles)}</div></div>'
    )


def warnings_list(assessment: Assessment) -> str:
    """What calls for care, or a sentence that nothing does."""
    if not assessment.warnings:
        return "<p>No warning was raised.</p>"
    return f'<ul class="warnings">{"".join(f"<li>{escape(text)}</li>" for text in assessment.warnings)}</ul>'


def picture(data_uri: str, *, description: str, caption: str = "") -> str:
    """An embedded picture; `description` is what a reader who cannot see it hears."""
    shown = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure><img src="{escape(data_uri)}" alt="{escape(description)}">{shown}</figure>'


def class_table(assessment: Assessment) -> str:
    """AUROC by defect class."""
    rows = (
        (name, str(result.num), f"{result.auroc.value:.3f}", span(result.auroc), result.note or "")
        for name, result in assessment.per_class.items()
    )
    return table(("Defect class", "n", "AUROC", "95% interval", "note"), rows=rows, num_text_columns=1)


def threshold_box(assessment: Assessment) -> str:
    """What the threshold does: sentences for the reader, then the confusion table."""
    threshold, confusion = assessment.threshold, assessment.threshold.confusion
    expected = exceedance_rate(threshold.num_normal_above, num_reference=threshold.num_normal)
    sentences = (
        f"A sample raises an alarm where its score is above <strong>{threshold.value:#.4g}</strong>. This threshold "
        f"comes from {threshold.num_normal} normal validation samples alone, for a false-alarm rate of "
        f"{threshold.target_fpr:.1%}; with so many, the true rate lies between {expected.low:.1%} and "
        f"{expected.high:.1%} nineteen times in twenty. Here it gives <strong>{percent(confusion.fpr)}</strong> false "
        f"alarms and finds <strong>{percent(confusion.recall)}</strong> of the defects. Balanced accuracy "
        f"{confusion.balanced_accuracy:.3f} (chance 0.5), F1 {confusion.f1:.3f}."
    )
    rows = (
        ("Defects", str(confusion.detected), str(confusion.missed)),
        ("Normals", str(confusion.false_alarms), str(confusion.passed)),
    )
    counts = table(("", "alarm", "no alarm"), rows=rows, num_text_columns=1)
    return f'<p>{sentences}</p><div class="narrow">{counts}</div>'


def further_numbers(assessment: Assessment) -> str:
    """Numbers that need their chance level beside them to mean anything."""
    controls, validation = assessment.controls, assessment.validation_auroc
    rows = (
        ("Average precision", f"{assessment.ap:.3f}", f"chance {controls.chance_ap:.3f}"),
        ("False-alarm rate where 95% of the defects are found", f"{assessment.fpr_at_95_tpr:.3f}", "chance 0.950"),
        ("Accuracy of always giving the more frequent answer", f"{controls.majority_accuracy:.3f}", "a control"),
        ("AUROC with the raw instead of the averaged weights", *_cells(assessment.raw_auroc)),
        ("AUROC on validation", *_cells(validation)),
        *_recorded(assessment),
    )
    return table(("", "value", "compare"), rows=rows, num_text_columns=1)


def representation_table(assessment: Assessment) -> str:
    """How far each representation spreads after the first, the best and the last epoch."""
    rows = (
        (name, str(spread.epoch), f"{spread.effective_rank:.1f}", f"{spread.std:.3g}", _range(spread))
        for name, found in assessment.representations.items()
        for spread in dict.fromkeys((found.first, found.best, found.last))
    )
    header = ("Representation", "epoch", "effective rank", "mean std", "least to most")
    return table(header, rows=rows, num_text_columns=1)


def worst_cases(test: ScoreTable, *, threshold: float) -> str:
    """The most confident errors: the normals that score highest and the defects that score lowest."""
    by_score = np.argsort(test.scores, kind="stable").tolist()
    lowest_defects = [row for row in by_score if test.labels[row] == 1][:_NUM_WORST]
    highest_normals = [row for row in by_score[::-1] if test.labels[row] == 0][:_NUM_WORST]

    def cells(row: int) -> tuple[str, ...]:
        alarm = "alarm" if test.scores[row] > threshold else "no alarm"
        return test.keys[row], test.class_names[row], f"{test.scores[row]:#.4g}", alarm

    header = ("key", "class", "score", "")
    return (
        '<div class="columns"><div><h3>Defects with the lowest scores</h3>'
        f"{table(header, rows=map(cells, lowest_defects), num_text_columns=2)}</div>"
        "<div><h3>Normals with the highest scores</h3>"
        f"{table(header, rows=map(cells, highest_normals), num_text_columns=2)}</div></div>"
    )


def provenance_details(provenance: Provenance) -> str:
    """How to make these numbers again: command, seed, store, versions and every setting."""
    facts = (
        ("run", provenance.run_name),
        ("split", provenance.split),
        ("created", provenance.created),
        ("command", provenance.command),
        ("seed", str(provenance.seed)),
        ("fingerprint of the features", provenance.fingerprint),
        ("backbones", "random weights (demo)" if provenance.backbones_are_random else "pretrained weights"),
    )
    versions = sorted(provenance.versions.items())
    settings = [(name, str(value)) for name, value in _flattened(provenance.settings)]
    return "".join(
        f"<h3>{title}</h3>{table(('', ''), rows=rows, num_text_columns=2)}"
        for title, rows in (("This report", facts), ("Versions", versions), ("Settings", settings))
        if rows
    )


def table(header: Sequence[str], *, rows: Iterable[Sequence[str]], num_text_columns: int) -> str:
    """A table; columns after the first `num_text_columns` are aligned as numbers. Cells are escaped here."""

    def row_of(cells: Sequence[str], *, tag: str) -> str:
        text = "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells[:num_text_columns])
        numbers = "".join(f'<{tag} class="number">{escape(cell)}</{tag}>' for cell in cells[num_text_columns:])
        return f"<tr>{text}{numbers}</tr>"

    head = f"<thead>{row_of(header, tag='th')}</thead>" if any(header) else ""
    return f"<table>{head}<tbody>{''.join(row_of(cells, tag='td') for cells in rows)}</tbody></table>"


def _tile(name: str, estimate: Estimate | None, *, note: str) -> str:
    value, interval = ("none", "") if estimate is None else (f"{estimate.value:.3f}", span(estimate))
    return (
        f'<div class="tile"><span class="label">{escape(name)}</span><strong>{value}</strong>'
        f'<span class="interval">{interval}</span><span>{escape(note)}</span></div>'
    )


def _cells(estimate: Estimate | None) -> tuple[str, str]:
    return ("none", "one class only") if estimate is None else (f"{estimate.value:.3f}", span(estimate))


def _recorded(assessment: Assessment) -> Iterator[tuple[str, str, str]]:
    auroc = assessment.recorded_validation_auroc
    if auroc is not None:
        compare = (
            "before scores were put on one scale" if assessment.validation_is_rescaled else "equal to the one above"
        )
        yield "AUROC on validation that training recorded", f"{auroc:.3f}", compare


def _range(spread: Spread) -> str:
    return from_to(spread.std_min, spread.std_max, ".2g")


def _flattened(settings: Mapping[str, object], *, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Settings by their dotted names, as `--set` takes them."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flattened(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
