"""The table of a bench in files: JSON, CSV and Markdown; and the cells that all its forms share."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ...atomic import remove_partial, write_text
from ...configs.variant_lists import Recorded
from ...documents import write_sealed
from ...metrics.estimate import span
from ...metrics.repeats import RepeatsEstimate
from ...train.runs.documents import hashes_of
from ...wording import from_to, spreadsheet_cell, visible
from .comparison import Comparison, VariantResult
from .notes import BenchHeader, method_notes, notes_below

_CSV_COLUMNS = (
    "variant",
    "seeds",
    "val_auroc",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_method",
    "auroc_lowest_seed",
    "auroc_highest_seed",
    "difference",
    "difference_low",
    "difference_high",
    "difference_method",
    "parameters",
    "seconds",
    "recorded_val_auroc",
    "recorded_test_auroc",
    "failures",
)


def write_tables(folder: Path, comparison: Comparison, *, header: BenchHeader) -> None:
    """Write `table_<split>.csv`, `.md` and, last, `.json` into `folder`."""
    stem = f"table_{header.split}"
    for suffix in ("csv", "md", "json"):
        remove_partial(folder / f"{stem}.{suffix}")
    csv_path, markdown_path = folder / f"{stem}.csv", folder / f"{stem}.md"
    write_text(csv_path, _as_csv(comparison))
    write_text(markdown_path, bench_markdown(comparison, header=header))
    files = {"files": hashes_of([csv_path, markdown_path])}
    write_sealed(folder / f"{stem}.json", {**bench_document(comparison, header=header), **files})


def bench_document(comparison: Comparison, *, header: BenchHeader) -> dict[str, Any]:
    """Everything as JSON values."""
    figures = asdict(comparison)
    for variant in figures["variants"]:
        variant["recorded"] = variant["recorded"].model_dump()
    notes = {"method": " ".join(method_notes(comparison)), "notes": notes_below(comparison, header=header)}
    return {**asdict(header), **notes, **figures}


def bench_markdown(comparison: Comparison, *, header: BenchHeader) -> str:
    """A table for a page of documentation."""
    columns = [
        "variant", "seeds", f"{header.split} AUROC", "95% interval", "by seed", "difference", "95% interval",
        "val AUROC", "parameters", "seconds", "recorded val/test",
    ]  # fmt: skip
    head, *rows = without_empty_columns([columns, *map(cells, comparison.variants)])
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = ["| " + " | ".join(visible(cell).replace("|", r"\|") for cell in row) + " |" for row in [head, rule, *rows]]
    notes = [f"{visible(note)}\n" for note in notes_below(comparison, header=header)]
    return "\n".join([f"**{visible(header.title)}**\n", *lines, "", *notes])


def without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows, the first of which is the head, without the columns that no other row fills."""
    head, *others = rows
    filled = [position for position in range(len(head)) if any(row[position] for row in others)]
    return [[row[position] for position in filled] for row in rows]


def cells(variant: VariantResult) -> list[str]:
    """A row: name, number of seeds, AUROC and interval, extremes by seed, difference and interval, validation's AUROC,
    parameters, seconds, what was recorded; "" for what could not be had."""
    return [
        variant.name,
        str(len(variant.seeds)),
        "failed" if variant.auroc is None else f"{variant.auroc.value:.3f}",
        "" if variant.auroc is None else span(variant.auroc),
        _by_seed(variant.by_seed),
        "" if variant.difference is None else f"{variant.difference.value:+.3f}",
        "" if variant.difference is None else span(variant.difference, sign="+"),
        "" if variant.val_auroc is None else f"{variant.val_auroc:.3f}",
        "" if variant.parameters is None else f"{variant.parameters:,}",
        "" if variant.seconds is None else f"{variant.seconds:.1f}",
        _recorded(variant.recorded),
    ]


def _by_seed(values: Sequence[float]) -> str:
    """The lowest and the highest; nothing where there is one."""
    return from_to(min(values), max(values)) if len(values) > 1 else ""


def _recorded(recorded: Recorded) -> str:
    if recorded.val is None and recorded.test is None:
        return ""
    return " / ".join("-" if value is None else f"{value:.3f}" for value in (recorded.val, recorded.test))


def _as_csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for variant in comparison.variants:
        writer.writerow(
            [
                spreadsheet_cell(variant.name),
                " ".join(map(str, variant.seeds)),
                variant.val_auroc,
                *_columns(variant.auroc),
                min(variant.by_seed, default=None),
                max(variant.by_seed, default=None),
                *_columns(variant.difference),
                variant.parameters,
                variant.seconds,
                variant.recorded.val,
                variant.recorded.test,
                spreadsheet_cell("; ".join(variant.failures)),
            ]
        )
    return text.getvalue()


def _columns(estimate: RepeatsEstimate | None) -> tuple[float | str | None, ...]:
    return (None,) * 4 if estimate is None else (estimate.value, estimate.low, estimate.high, estimate.method)
