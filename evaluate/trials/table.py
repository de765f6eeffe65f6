"""The table of a bench for a terminal and in files (JSON, CSV, Markdown), and the notes that stand below it."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...atomic import remove_partial, write_text
from ...documents import write_sealed
from ...metrics.estimate import span
from ...metrics.repeats import Method, RepeatsEstimate
from ...train.runs.documents import hashes_of
from ...wording import from_to, spreadsheet_cell, visible
from .comparison import Comparison, VariantResult
from .variant_list import Recorded


@dataclass(frozen=True)
class BenchHeader:
    """What was compared, where, and by which command.

    Attributes:
        fingerprint: of all that the store holds.
        demo_sentence: what is to be kept in mind where random weights made some of it; else empty.
    """

    list_name: str
    question: str
    split: str
    created: str
    command: str
    fingerprint: str
    demo_sentence: str
    versions: Mapping[str, str]

    @property
    def title(self) -> str:
        """The list, the split and the list's question."""
        return f"{self.list_name} on {self.split}" + (f": {self.question}" if self.question else "")


def notes_below(comparison: Comparison, *, header: BenchHeader) -> list[str]:
    """A sentence or two each; the same in all forms of the table."""
    return list(_notes(comparison, header=header))


def method_notes(comparison: Comparison) -> list[str]:
    """How the intervals were made; where that is not one way throughout, of which variants each is."""
    measure = comparison.judge.measure
    means = {variant.name: variant.mean for variant in comparison.variants if variant.mean is not None}
    differences = {
        variant.name: variant.difference for variant in comparison.variants if variant.difference is not None
    }
    notes = []
    if means:
        ways = _ways(means, measure.ways_of_mean)
        notes.append(f"95% intervals of {measure.plural}, for other samples and other seeds: {ways}.")
    if differences:
        ways = _ways(differences, measure.ways_of_difference)
        notes.append(
            f"Differences are from {comparison.reference}, over the seeds that both have, and not corrected for how "
            f"many there are; their 95% intervals: {ways}."
        )
    return notes


def _notes(comparison: Comparison, *, header: BenchHeader) -> Iterator[str]:
    yield from (f"{variant.name}: {failure}" for variant in comparison.variants for failure in variant.failures)
    ground = comparison.ground
    if not ground.beside:
        return
    yield from comparison.caveats
    yield f"On {ground.samples} of {header.split}: {ground.beside}."
    yield from method_notes(comparison)
    if comparison.num_not_shared:
        yield f"Samples that only some variants scored, and that are in no figure: {comparison.num_not_shared}."
    if any(len(variant.seeds) == 1 for variant in comparison.variants):
        yield "The interval of a single seed says nothing about other seeds."
    if header.demo_sentence:
        yield header.demo_sentence


def _ways(estimates: Mapping[str, RepeatsEstimate], words: Mapping[Method, str]) -> str:
    users = {method: [name for name, estimate in estimates.items() if estimate.method == method] for method in words}
    used = {method: names for method, names in users.items() if names}
    if len(used) == 1:
        return words[next(iter(used))]
    return "; ".join(f"{words[method]}, for {', '.join(names)}" for method, names in used.items())


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
    name, ground = comparison.figure.name, comparison.ground
    notes = {"method": " ".join(method_notes(comparison)), "notes": notes_below(comparison, header=header)}
    return {
        **asdict(header),
        **notes,
        "reference": comparison.reference,
        "variants": [_variant_document(variant, name) for variant in comparison.variants],
        **ground.counts,
        "num_not_shared": comparison.num_not_shared,
        **{each: asdict(found) if is_dataclass(found) else found for each, found in ground.controls.items()},
        "caveats": comparison.caveats,
    }


def _variant_document(variant: VariantResult, name: str) -> dict[str, Any]:
    """A row, with its figures under the names that reports and logs have for them."""
    figures: dict[str, Any] = {}
    for key, value in asdict(variant).items():
        match key:
            case "mean":
                figures[name] = value
            case "validation":
                figures[f"val_{name}"] = value
            case "others":
                figures |= value
            case _:
                figures[key] = value
    return figures | {"recorded": variant.recorded.model_dump()}


def bench_markdown(comparison: Comparison, *, header: BenchHeader) -> str:
    """A table for a page of documentation."""
    label, others = comparison.figure.label, [figure.label for figure in comparison.others]
    columns = [
        "variant", "seeds", f"{header.split} {label}", "95% interval", "by seed", "difference", "95% interval",
        f"val {label}", "parameters", "seconds", "recorded val/test", *(f"{header.split} {name}" for name in others),
    ]  # fmt: skip
    rows = [[*cells(variant), *_others(variant, comparison)] for variant in comparison.variants]
    head, *rows = without_empty_columns([columns, *rows])
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
    """A row: name, number of seeds, mean and interval, extremes by seed, difference and interval, validation's figure,
    parameters, seconds, what was recorded; "" for what could not be had."""
    return [
        variant.name,
        str(len(variant.seeds)),
        "failed" if variant.mean is None else f"{variant.mean.value:.3f}",
        "" if variant.mean is None else span(variant.mean),
        _by_seed(variant.by_seed),
        "" if variant.difference is None else f"{variant.difference.value:+.3f}",
        "" if variant.difference is None else span(variant.difference, sign="+"),
        "" if variant.validation is None else f"{variant.validation:.3f}",
        "" if variant.parameters is None else f"{variant.parameters:,}",
        "" if variant.seconds is None else f"{variant.seconds:.1f}",
        _recorded(variant.recorded),
    ]


def _others(variant: VariantResult, comparison: Comparison) -> list[str]:
    """The cells of the figures beside the first."""
    found = [variant.others.get(figure.name) for figure in comparison.others]
    return ["" if value is None else f"{value:.3f}" for value in found]


def _by_seed(values: Sequence[float]) -> str:
    """The lowest and the highest; nothing where there is one."""
    return from_to(min(values), max(values)) if len(values) > 1 else ""


def _recorded(recorded: Recorded) -> str:
    if recorded.val is None and recorded.test is None:
        return ""
    return " / ".join("-" if value is None else f"{value:.3f}" for value in (recorded.val, recorded.test))


def _as_csv(comparison: Comparison) -> str:
    text, name = io.StringIO(), comparison.figure.name
    others = [figure.name for figure in comparison.others]
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        [
            "variant",
            "seeds",
            f"val_{name}",
            *(f"{name}{end}" for end in ("", "_low", "_high", "_method", "_lowest_seed", "_highest_seed")),
            *(f"difference{end}" for end in ("", "_low", "_high", "_method")),
            "parameters",
            "seconds",
            f"recorded_val_{name}",
            f"recorded_test_{name}",
            "failures",
            *others,
        ]
    )
    for variant in comparison.variants:
        writer.writerow(
            [
                spreadsheet_cell(variant.name),
                " ".join(map(str, variant.seeds)),
                variant.validation,
                *_columns(variant.mean),
                min(variant.by_seed, default=None),
                max(variant.by_seed, default=None),
                *_columns(variant.difference),
                variant.parameters,
                variant.seconds,
                variant.recorded.val,
                variant.recorded.test,
                spreadsheet_cell("; ".join(variant.failures)),
                *(variant.others.get(other) for other in others),
            ]
        )
    return text.getvalue()


def _columns(estimate: RepeatsEstimate | None) -> tuple[float | str | None, ...]:
    return (None,) * 4 if estimate is None else (estimate.value, estimate.low, estimate.high, estimate.method)


_MILLIONS = 100_000  # parameters from here on are counted in millions


def bench_summary(comparison: Comparison, *, header: BenchHeader) -> RenderableType:
    """Something that `rich` prints; names of variants are literal text."""
    stacked = [_stacked(variant, comparison, split=header.split) for variant in comparison.variants]
    head, *rows = without_empty_columns([_head(comparison, split=header.split), *stacked])
    title = Text(visible(header.title))
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_lines=True, padding=(0, 1, 0, 0))
    for position, name in enumerate(head):
        table.add_column(Text(name), justify="right" if position else "left", no_wrap=position > 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, keep="\n")) for cell in row))
    notes = notes_below(comparison, header=header)
    if any(variant.recorded != Recorded() for variant in comparison.variants):
        notes.append(f"In brackets: {comparison.judge.measure.plural} recorded elsewhere.")
    return Group(table, *(Text(visible(note)) for note in notes))


def _head(comparison: Comparison, *, split: str) -> list[str]:
    interval, others = "95% interval", [figure.label for figure in comparison.others]
    first = f"{split} {comparison.figure.label}\n{interval}"
    return ["variant", "val", first, "min\nmax", f"difference\n{interval}", *others, "params", "s"]


def _stacked(variant: VariantResult, comparison: Comparison, *, split: str) -> list[str]:
    """The cells of a row, with intervals below their values."""
    named, num_seeds, value, span, _, difference, difference_span, validated, parameters, seconds, _ = cells(variant)
    name = visible(named)  # in one line, whatever is in it
    if variant.parameters is not None and variant.parameters >= _MILLIONS:
        parameters = f"{variant.parameters / 1e6:.2f}M"
    extremes = [min(variant.by_seed), max(variant.by_seed)] if len(variant.by_seed) > 1 else []
    stacks = [
        [name, f"{num_seeds} seed" if num_seeds == "1" else f"{num_seeds} seeds"],
        [validated, _bracketed(variant.recorded.val)],
        [value, span, _bracketed(variant.recorded.test if split == "test" else None)],
        [f"{extreme:.3f}" for extreme in extremes],
        [difference, difference_span],
        *([other] for other in _others(variant, comparison)),
        [parameters],
        [seconds],
    ]
    return ["\n".join(filter(None, lines)) for lines in stacks]


def _bracketed(recorded: float | None) -> str:
    return "" if recorded is None else f"({recorded:.3f})"
