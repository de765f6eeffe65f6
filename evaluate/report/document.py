"""report.json: every figure of a report at full precision, for other programs; and the files of a report in a run."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from ...atomic import locked_folder, remove_partial, write_text
from ...errors import BusyError
from ...metrics.estimate import METRICS_VERSION, Estimate
from ...train.runs.documents import hashes_of
from ...train.runs.folder import RunFolder
from ..judge import Judgement
from ..sample_frame import write_parquet
from ..scores import write_columns
from ..section import Report, Section, Value
from .drawing import FigureFormat, write_figures
from .html import render_html

SCHEMA_VERSION = 2
"""Version of report.json. In version 1 all figures stood beside each other, without sections."""


def report_document(report: Report) -> dict[str, Any]:
    """The report as JSON values. What is undefined is null, with a note beside it for people, and never NaN."""
    provenance = report.provenance
    return {
        "schema_version": SCHEMA_VERSION,
        "run": provenance.run_name,
        "split": provenance.split,
        "task": report.task,
        "weights": provenance.weights,
        "confidence": 0.95,
        "metrics_version": METRICS_VERSION,
        "backbones_are_random": bool(provenance.random_features),
        "random_features": list(provenance.random_features),
        "oracles": list(provenance.oracles),
        "sections": {section.id: _section(section) for section in report.sections},
        "provenance": {
            "fingerprint": provenance.fingerprint,
            "settings": dict(provenance.settings),
            "versions": dict(provenance.versions),
            "seed": provenance.seed,
            "command": provenance.command,
            "created": provenance.created,
        },
    }


def _section(section: Section) -> dict[str, Any]:
    parts: Mapping[str, Any] = {
        "standing": section.standing,
        "facts": {fact.id: _value(fact.value) for fact in section.facts},
        "fact_notes": {fact.id: fact.note for fact in section.facts if fact.note},
        "rows": {
            rows.id: [
                {column.id: _value(value) for column, value in zip(rows.columns, values, strict=True)}
                for values in rows.values
            ]
            for rows in section.rows
        },
        "note": list(section.note),
        "points": list(section.points),
    }
    return {"title": section.title, **{name: part for name, part in parts.items() if part}}


def _value(value: Value) -> object:
    return dict(vars(value)) if isinstance(value, Estimate) else value


def write_report(
    run: RunFolder,
    judgement: Judgement,
    report: Report,
    *,
    samples: pd.DataFrame | None = None,
    figures: FigureFormat | None = None,
) -> Path:
    """Write `scores_<split>.csv`, `report.html` and, last, `report.json` into a run's folder; return the HTML's path.

    Splits other than test have reports of their own, `report_<split>`. Files of an earlier report are replaced, each in
    one step. `samples` is written as `samples_<split>.parquet` where pyarrow is installed, and every figure of the
    report into the folder `figures_<split>` where a format of `figures` is named.
    """
    html, split = render_html(report), report.provenance.split
    name = "report" if split == "test" else f"report_{split}"
    html_path, json_path = run.path / f"{name}.html", run.path / f"{name}.json"
    scores_path, samples_path = run.path / f"scores_{split}.csv", run.path / f"samples_{split}.parquet"
    with _held_if_free(run, writing=(scores_path, html_path, json_path, samples_path)):
        write_columns(scores_path, judgement.columns)
        write_text(html_path, html)
        written = [html_path, scores_path]
        if samples is not None and write_parquet(samples_path, samples):
            written.append(samples_path)
        if figures is not None:
            write_figures(run.path / f"figures_{split}", report.sections, form=figures)
        run.write(json_path, {**report_document(report), "files": hashes_of(written)})
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
