"""The table of a bench in files: JSON, CSV and Markdown; and the words that all its forms share."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...atomic import write_json, write_text
from ...configs.variant_lists import Recorded
from ...metrics.estimate import Estimate
from ..report.verdict import DEMO_SENTENCE
from .comparison import Comparison, VariantResult

_METHOD = (
    "The 95% intervals are for other samples and other seeds: DeLong's covariances and the spread of the seeds, as by "
    "Obuchowski and Rockette, on the logit scale. Differences are paired by sample and by seed, and not corrected for "
    "how many there are."
)
_CSV_COLUMNS = (
    "variant",
    "seeds",
    "val_auroc",
    "auroc",
    "auroc_low",
    "auroc_high",
    "auroc_lowest_seed",
    "auroc_highest_seed",
    "difference",
    "difference_low",
    "difference_high",
    "parameters",
    "seconds",
    "recorded_val_auroc",
    "recorded_test_auroc",
    "failures",
)


@dataclass(frozen=True)
class BenchHeader:
    """What was compared, where, and by which command.

    Attributes:
        fingerprint: of all that the store holds.
        backbones_are_random: whether any of its features come from random weights, as in a demo.
    """

    list_name: str
    question: str
    split: str
    created: str
    command: str
    fingerprint: str
    backbones_are_random: bool
    versions: Mapping[str, str]


def write_tables(folder: Path, comparison: Comparison, *, header: BenchHeader) -> None:
    """Write `table_<split>.csv`, `.md` and, last, `.json` into `folder`."""
    stem = f"table_{header.split}"
    write_text(folder / f"{stem}.csv", _as_csv(comparison))
    write_text(folder / f"{stem}.md", bench_markdown(comparison, header=header))
    write_json(folder / f"{stem}.json", bench_document(comparison, header=header))


def bench_document(comparison: Comparison, *, header: BenchHeader) -> dict[str, Any]:
    """Everything as JSON values."""
    figures = asdict(comparison)
    for variant in figures["variants"]:
        variant["recorded"] = variant["recorded"].model_dump()
    return {**asdict(header), "method": _METHOD, **figures}


def bench_markdown(comparison: Comparison, *, header: BenchHeader) -> str:
    """A table for a page of documentation."""
    columns = [
        "variant", "seeds", f"{header.split} AUROC", "95% interval", "by seed", "difference", "95% interval",
        "val AUROC", "parameters", "seconds", "recorded val/test",
    ]  # fmt: skip
    head, *rows = without_empty_columns([columns, *map(cells, comparison.variants)])
    rule = ["---", *["---:"] * (len(head) - 1)]
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in [head, rule, *rows]]
    notes = [f"{note}\n" for note in notes_below(comparison, header=header)]
    return "\n".join([f"**{title(header)}**\n", *lines, "", *notes])


def title(header: BenchHeader) -> str:
    """What stands above the table."""
    return f"{header.list_name} on {header.split}" + (f": {header.question}" if header.question else "")


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
        "" if variant.auroc is None else _span(variant.auroc),
        _by_seed(variant.by_seed),
        "" if variant.difference is None else f"{variant.difference.value:+.3f}",
        "" if variant.difference is None else _span(variant.difference, sign="+"),
        "" if variant.val_auroc is None else f"{variant.val_auroc:.3f}",
        "" if variant.parameters is None else f"{variant.parameters:,}",
        "" if variant.seconds is None else f"{variant.seconds:.1f}",
        _recorded(variant.recorded),
    ]


def _span(estimate: Estimate, *, sign: str = "") -> str:
    return f"{estimate.low:{sign}.3f} to {estimate.high:{sign}.3f}"


def _by_seed(values: Sequence[float]) -> str:
    """The lowest and the highest; nothing where there is one."""
    return f"{min(values):.3f} to {max(values):.3f}" if len(values) > 1 else ""


def _recorded(recorded: Recorded) -> str:
    if recorded.val is None and recorded.test is None:
        return ""
    return " / ".join("-" if value is None else f"{value:.3f}" for value in (recorded.val, recorded.test))


def notes_below(comparison: Comparison, *, header: BenchHeader) -> list[str]:
    """What stands below the table."""
    notes = [f"{variant.name}: {failure}" for variant in comparison.variants for failure in variant.failures]
    if comparison.random is None:
        return notes
    media_free = comparison.media_free
    assert media_free is not None
    control = f"not to be had ({media_free.reason})" if media_free.auroc is None else _with_interval(media_free.auroc)
    notes += [
        f"On {comparison.num_normal} normals and {comparison.num_defect} defects of {header.split}: media-free control "
        f"{control}, random scores {_with_interval(comparison.random)}.",
        f"Differences are from {comparison.reference}. {_METHOD}",
    ]
    if comparison.num_not_shared:
        notes.append(f"Samples that only some variants scored, and that are in no figure: {comparison.num_not_shared}.")
    if any(len(variant.seeds) == 1 for variant in comparison.variants):
        notes.append("The interval of a single seed says nothing about other seeds.")
    if header.backbones_are_random:
        notes.append(DEMO_SENTENCE)
    return notes


def _with_interval(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({_span(estimate)})"


def _as_csv(comparison: Comparison) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for variant in comparison.variants:
        writer.writerow(
            [
                variant.name,
                " ".join(map(str, variant.seeds)),
                variant.val_auroc,
                *_numbers(variant.auroc),
                min(variant.by_seed, default=None),
                max(variant.by_seed, default=None),
                *_numbers(variant.difference),
                variant.parameters,
                variant.seconds,
                variant.recorded.val,
                variant.recorded.test,
                "; ".join(variant.failures),
            ]
        )
    return text.getvalue()


def _numbers(estimate: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if estimate is None else (estimate.value, estimate.low, estimate.high)
