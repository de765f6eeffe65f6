"""Writing a report's files into a run's folder."""

from collections.abc import Sequence
from pathlib import Path

from ...atomic import write_text
from ...train.metrics_log import MetricRow
from ...train.run_documents import hashes_of
from ...train.run_folder import RunFolder
from ..provenance import Provenance
from ..results import Assessment
from ..scores import ScoreTable, write_scores
from .report_html import render_html
from .report_json import report_document


def write_report(
    run: RunFolder,
    *,
    assessment: Assessment,
    test: ScoreTable,
    provenance: Provenance,
    training_curve: Sequence[MetricRow],
) -> Path:
    """Write `scores_<split>.csv`, `report.html` and, last, `report.json` into a run's folder; return the HTML's path.

    Splits other than test have reports of their own, `report_<split>`.

    Args:
        run: files of an earlier report are replaced, each in one step.
        assessment: the numbers.
        test: the table they were made from.
        provenance: names the split; its settings must be JSON values.
        training_curve: the rows of the training's log; may be empty.
    """
    html = render_html(assessment, test=test, provenance=provenance, training_curve=training_curve)
    name = "report" if provenance.split == "test" else f"report_{provenance.split}"
    html_path, scores_path = run.path / f"{name}.html", run.path / f"scores_{provenance.split}.csv"
    write_scores(scores_path, test, threshold=assessment.threshold.value)
    write_text(html_path, html)
    document = report_document(assessment, provenance=provenance)
    run.write(run.path / f"{name}.json", {**document, "files": hashes_of([html_path, scores_path])})
    return html_path
