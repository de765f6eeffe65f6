"""The table of a bench for a terminal, within eighty columns."""

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...configs.variant_lists import Recorded
from ...wording import visible
from .comparison import Comparison, VariantResult
from .notes import BenchHeader, notes_below
from .report import cells, without_empty_columns

_MILLIONS = 100_000  # parameters from here on are counted in millions


def bench_summary(comparison: Comparison, *, header: BenchHeader) -> RenderableType:
    """Something that `rich` prints; names of variants are literal text."""
    head, *rows = without_empty_columns(
        [_head(header.split), *(_stacked(variant, split=header.split) for variant in comparison.variants)]
    )
    title = Text(visible(header.title))
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_lines=True, padding=(0, 1, 0, 0))
    for position, name in enumerate(head):
        table.add_column(Text(name), justify="right" if position else "left", no_wrap=position > 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, keep="\n")) for cell in row))
    notes = notes_below(comparison, header=header)
    if any(variant.recorded != Recorded() for variant in comparison.variants):
        notes.append("In brackets: AUROCs recorded elsewhere.")
    return Group(table, *(Text(visible(note)) for note in notes))


def _head(split: str) -> list[str]:
    interval = "95% interval"
    return ["variant", "val", f"{split} AUROC\n{interval}", "min\nmax", f"difference\n{interval}", "params", "s"]


def _stacked(variant: VariantResult, *, split: str) -> list[str]:
    """The cells of a row, with intervals below their values."""
    named, num_seeds, value, span, _, difference, difference_span, val_auroc, parameters, seconds, _ = cells(variant)
    name = visible(named)  # in one line, whatever is in it
    if variant.parameters is not None and variant.parameters >= _MILLIONS:
        parameters = f"{variant.parameters / 1e6:.2f}M"
    extremes = [min(variant.by_seed), max(variant.by_seed)] if len(variant.by_seed) > 1 else []
    stacks = [
        [name, f"{num_seeds} seed" if num_seeds == "1" else f"{num_seeds} seeds"],
        [val_auroc, _bracketed(variant.recorded.val)],
        [value, span, _bracketed(variant.recorded.test if split == "test" else None)],
        [f"{extreme:.3f}" for extreme in extremes],
        [difference, difference_span],
        [parameters],
        [seconds],
    ]
    return ["\n".join(filter(None, lines)) for lines in stacks]


def _bracketed(recorded: float | None) -> str:
    return "" if recorded is None else f"({recorded:.3f})"
