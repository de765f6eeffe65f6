"""Writing a report's files into a run's folder."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ...atomic import locked_folder, remove_partial, write_text
from ...errors import BusyError
from ...train.runs.documents import hashes_of
from ...train.runs.folder import RunFolder
from ...train.runs.log import MetricRow
from ..results import Assessment, Provenance
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
    html_path, json_path = run.path / f"{name}.html", run.path / f"{name}.json"
    scores_path = run.path / f"scores_{provenance.split}.csv"
    with _held_if_free(run, writing=(scores_path, html_path, json_path)):
        write_scores(scores_path, test, threshold=assessment.threshold.value)
        write_text(html_path, html)
        document = report_document(assessment, provenance=provenance)
        run.write(json_path, {**document, "files": hashes_of([html_path, scores_path])})
    return html_path


@contextmanager
def _held_if_free(run: RunFolder, *, writing: Sequence[Path]) -> Iterator[None]:
    """Hold the run, and remove what killed evaluations had half written; one that is being trained is judged too."""
    with ExitStack() as stack:
        with suppress(BusyError):
            stack.enter_context(locked_folder(run.path))
            for path in writing:
                remove_partial(path)
        yield
