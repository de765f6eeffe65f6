"""report.html: one file that any browser opens without network or scripts, for readers who want the answer first."""

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from ...train.runs.log import MetricRow
from ...wording import visible
from ..results import Assessment, Provenance
from ..scores import ScoreTable
from . import figures, sections, training_figures
from .modality_section import modality_section


def render_html(
    assessment: Assessment,
    *,
    test: ScoreTable,
    provenance: Provenance,
    training_curve: Sequence[MetricRow],
) -> str:
    """The whole page; `training_curve` holds the rows of the log and may be empty."""
    threshold = assessment.threshold.value
    template = Template(files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    page = template.substitute(
        title=escape(f"{provenance.run_name} on {provenance.split}"),
        run_name=escape(provenance.run_name),
        split=escape(provenance.split),
        created=escape(provenance.created),
        banner=sections.banner(provenance),
        headline=sections.headline(assessment),
        verdict=sections.verdict_box(assessment),
        warnings=sections.warnings_list(assessment),
        estimates=_estimates(assessment),
        ranking=_ranking(test, threshold=threshold),
        per_class=_per_class(assessment, test=test),
        threshold=sections.threshold_box(assessment),
        modalities=modality_section(assessment),
        further=sections.further_numbers(assessment),
        worst=sections.worst_cases(test, threshold=threshold),
        training=_training(training_curve) + _representations(assessment, training_curve=training_curve),
        provenance=sections.provenance_details(provenance),
    )
    # Names come from data sets, and a page that is opened in a terminal acts on them as a listing would.
    return "\n".join(map(visible, page.split("\n")))


def _estimates(assessment: Assessment) -> str:
    return sections.picture(
        figures.estimates_figure(assessment), description="AUROC of the model and of the controls, with intervals"
    )


def _ranking(test: ScoreTable, *, threshold: float) -> str:
    roc = sections.picture(
        figures.roc_figure(test), description="ROC curve", caption="ROC curve with a pointwise 95% band"
    )
    histogram = sections.picture(
        figures.scores_figure(test, threshold=threshold),
        description="Histograms of the scores of normals and defects",
        caption="Scores of normals and defects, each as a share of its own class",
    )
    return f'<div class="columns">{roc}{histogram}</div>'


def _per_class(assessment: Assessment, *, test: ScoreTable) -> str:
    bars = sections.picture(
        figures.per_class_figure(assessment),
        description="AUROC by defect class with intervals",
        caption="AUROC of each defect class against all normals, number of samples in brackets",
    )
    boxes = sections.picture(
        figures.class_scores_figure(test, threshold=assessment.threshold.value),
        description="Box plots of the scores by class",
        caption="Scores by class: median, quartiles, and whiskers to the 5th and 95th percentile",
    )
    return f"{bars}{sections.class_table(assessment)}{boxes}"


def _training(training_curve: Sequence[MetricRow]) -> str:
    curve = training_figures.training_figure(training_curve)
    if curve is None:
        return "<p>The run recorded no training curve.</p>"
    return sections.picture(curve, description="Training loss and validation AUROC by epoch")


def _representations(assessment: Assessment, *, training_curve: Sequence[MetricRow]) -> str:
    if not assessment.representations:
        return ""
    best_epoch = next(iter(assessment.representations.values())).best.epoch
    curve = training_figures.spread_figure(training_curve, best_epoch=best_epoch)
    if curve is None:
        return ""
    shown = sections.picture(
        curve,
        description="Effective rank and standard deviation of each representation by epoch",
        caption="Representations of the validation normals: how many directions they fill, and how far their "
        "dimensions spread (mean, with a band from the least to the most)",
    )
    return f"{shown}{sections.representation_table(assessment)}"
