"""Writing a report's files into a run's folder."""

from collections.abc import Sequence
from pathlib import Path

from ...atomic import write_json, write_text
from ...train.metrics_log import MetricRow
from ..provenance import Provenance
from ..results import Assessment
from ..scores import ScoreTable, write_scores
from .report_html import render_html
from .report_json import report_document


def write_report(
    folder: Path,
    *,
    assessment: Assessment,
    test: ScoreTable,
    provenance: Provenance,
    training_curve: Sequence[MetricRow],
) -> Path:
    """Write `scores_<split>.csv`, `report.html` and, last, `report.json` into `folder`; return the path of the HTML.

    Splits other than test have reports of their own, `report_<split>`.

    Args:
        folder: made if it is not there; files of an earlier report are replaced, each in one step.
        assessment: the numbers.
        test: the table they were made from.
        provenance: names the split; its settings must be JSON values.
        training_curve: the rows of the training's log; may be empty.
    """
    html = render_html(assessment, test=test, provenance=provenance, training_curve=training_curve)
    name = "report" if provenance.split == "test" else f"report_{provenance.split}"
    html_path = folder / f"{name}.html"
    write_scores(folder / f"scores_{provenance.split}.csv", test, threshold=assessment.threshold.value)
    write_text(html_path, html)
    write_json(folder / f"{name}.json", report_document(assessment, provenance=provenance))
    return html_path
