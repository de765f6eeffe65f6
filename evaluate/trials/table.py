"""The tables of a bench for people, one a split: on a terminal and in Markdown, and the notes that stand below them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ...cache.splits import OFFICIAL
from ...metrics.estimate import span
from ...metrics.p_value import RAREST_CHANCE, p_told
from ...metrics.repeats import Method, RepeatsEstimate
from ...wording import count_of, format_size, from_to, listed, shortened, visible
from .comparison import Comparison, VariantResult
from .measure import Difference
from .variant_list import Recorded

_NAMED = 8  # variants in a sentence


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

    def title(self, comparison: Comparison) -> str:
        """The list, the split and the list's question."""
        divided = f", divided by {comparison.divided_by}" if comparison.divided_by not in ("", OFFICIAL) else ""
        return f"{self.list_name} on {self.split}{divided}" + (f": {self.question}" if self.question else "")


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


def ranking_note(comparison: Comparison) -> str:
    """How far the ranking can be believed; "" where there is one variant at most."""
    scored = [variant for variant in comparison.variants if variant.rank is not None]
    if len(scored) < 2:
        return ""
    best, tied = scored[0], [variant.name for variant in scored if variant.ties_with_best]
    if tied:
        others = f"{count_of(len(tied), 'other')}: {shortened(tied, most=_NAMED)}"
        told = f"It is not known whether {best.name} is ahead of {others}"
    else:
        told = f"{best.name} is ahead of all others"
    lucky = "found to be first on these very samples, the best of several is partly the luckiest"
    rival = f", as those of being no better than the {comparison.ground.rival}" if comparison.ground.rival else ""
    return (
        f"{told} (a tie: p is {RAREST_CHANCE} or more). p values are of no difference, paired by sample and by seed "
        f"and corrected after Holm over the table{rival}. {lucky[0].upper()}{lucky[1:]}."
    )


def _notes(comparison: Comparison, *, header: BenchHeader) -> Iterator[str]:
    yield from (f"{variant.name}: {failure}" for variant in comparison.variants for failure in variant.failures)
    if comparison.passed_over:
        yield f"Passed over, as the store lacks what they look at: {listed(comparison.passed_over)}."
    ground = comparison.ground
    if not ground.beside:
        return
    yield from comparison.caveats
    yield f"On {ground.samples} of {header.split}: {ground.beside}."
    if note := ranking_note(comparison):
        yield note
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


def bench_markdown(comparisons: Sequence[Comparison], *, header: BenchHeader) -> str:
    """A table a split for a page of documentation."""
    return "\n".join(_markdown(comparison, header=header) for comparison in comparisons)


def _markdown(comparison: Comparison, *, header: BenchHeader) -> str:
    rows = [cells(variant, comparison) for variant in comparison.variants]
    head, *rows = without_empty_columns([headings(comparison, split=header.split), *rows])
    rule = ["---:", "---", *["---:"] * (len(head) - 2)]
    lines = ["| " + " | ".join(visible(cell).replace("|", r"\|") for cell in row) + " |" for row in [head, rule, *rows]]
    notes = [f"{visible(note)}\n" for note in notes_below(comparison, header=header)]
    return "\n".join([f"**{visible(header.title(comparison))}**\n", *lines, "", *notes])


def headings(comparison: Comparison, *, split: str) -> list[str]:
    """Headings of the columns of `cells`."""
    label, interval, rival = comparison.figure.label, "95% interval", comparison.ground.rival or "control"
    others = [f"{split} {figure.label}" for figure in comparison.others]
    return [
        "rank", "variant", "seeds", f"{split} {label}", interval, "by seed", "less the best", interval, "p", "",
        f"less the {rival}", interval, "p", f"less {comparison.reference}", interval, f"val {label}", "parameters",
        "train s", "score s", "memory", "recorded val/test", *others,
    ]  # fmt: skip


def without_empty_columns(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows, the first of which is the head, without the columns that no other row fills."""
    head, *others = rows
    filled = [position for position in range(len(head)) if any(row[position] for row in others)]
    return [[row[position] for position in filled] for row in rows]


def cells(variant: VariantResult, comparison: Comparison) -> list[str]:
    """A row, one cell a heading; "" for what could not be had."""
    others = [variant.others.get(figure.name) for figure in comparison.others]
    return [
        "" if variant.rank is None else str(variant.rank),
        variant.name,
        str(len(variant.seeds)),
        "failed" if variant.mean is None else f"{variant.mean.value:.3f}",
        "" if variant.mean is None else span(variant.mean),
        _by_seed(variant.by_seed),
        *_difference_cells(variant.behind),
        "tie" if variant.ties_with_best else "",
        *_difference_cells(variant.beside_rival),
        *_estimate_cells(variant.difference),
        _number(variant.validation),
        "" if variant.parameters is None else f"{variant.parameters:,}",
        "" if variant.seconds is None else f"{variant.seconds:.1f}",
        _number(variant.score_seconds),
        "" if variant.peak_bytes is None else format_size(variant.peak_bytes),
        _recorded(variant.recorded),
        *map(_number, others),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _estimate_cells(found: RepeatsEstimate | None) -> list[str]:
    return ["", ""] if found is None else [f"{found.value:+.3f}", span(found, sign="+")]


def _difference_cells(found: Difference | None) -> list[str]:
    return ["", "", ""] if found is None else [*_estimate_cells(found.value), p_told(found.p_holm)]


def _by_seed(values: Sequence[float]) -> str:
    """The lowest and the highest; nothing where there is one."""
    return from_to(min(values), max(values)) if len(values) > 1 else ""


def _recorded(recorded: Recorded) -> str:
    if recorded.val is None and recorded.test is None:
        return ""
    return " / ".join("-" if value is None else f"{value:.3f}" for value in (recorded.val, recorded.test))


_MILLIONS = 100_000


def bench_summary(comparisons: Sequence[Comparison], *, header: BenchHeader) -> RenderableType:
    """Something that `rich` prints; names of variants are literal text."""
    return Group(*(_summary(comparison, header=header) for comparison in comparisons))


def _summary(comparison: Comparison, *, header: BenchHeader) -> RenderableType:
    stacked = [_stacked(variant, comparison, split=header.split) for variant in comparison.variants]
    head, *rows = without_empty_columns([_head(comparison, split=header.split), *stacked])
    title = Text(visible(header.title(comparison)))
    table = Table(title=title, title_justify="left", box=box.SIMPLE, show_lines=True, padding=(0, 1, 0, 0))
    for position, name in enumerate(head):
        of_names = position == 1
        justify: Literal["left", "right"] = "left" if of_names else "right"
        table.add_column(Text(name), justify=justify, no_wrap=not of_names, overflow="fold")
    for row in rows:
        table.add_row(*(Text(visible(cell, keep="\n")) for cell in row))
    notes = notes_below(comparison, header=header)
    if any(variant.recorded != Recorded() for variant in comparison.variants):
        notes.append(f"In brackets: {comparison.judge.measure.plural} recorded elsewhere.")
    return Group(table, *(Text(visible(note)) for note in notes))


def _head(comparison: Comparison, *, split: str) -> list[str]:
    interval, others = "95% interval", [figure.label for figure in comparison.others]
    first = f"{split} {comparison.figure.label}\n{interval}"
    difference = f"difference\n{interval}"
    return ["", "variant", "val", first, difference, "less the best\nless control", *others, "cost"]


def _stacked(variant: VariantResult, comparison: Comparison, *, split: str) -> list[str]:
    """The cells of a row, with what belongs to a value below it; a name is in one line, whatever is in it."""
    num_seeds, cost = len(variant.seeds), [_parameters(variant.parameters)]
    cost += ["" if variant.seconds is None else f"{variant.seconds + (variant.score_seconds or 0):.1f} s"]
    cost += ["" if variant.peak_bytes is None else format_size(variant.peak_bytes)]
    figure = ["failed"] if variant.mean is None else [f"{variant.mean.value:.3f}", span(variant.mean)]
    recorded = variant.recorded.test if split == "test" else None
    stacks = [
        ["" if variant.rank is None else str(variant.rank)],
        [visible(variant.name), count_of(num_seeds, "seed")],
        [_number(variant.validation), _bracketed(variant.recorded.val)],
        [*figure, _bracketed(recorded)],
        _estimate_cells(variant.difference),
        ["the best" if variant.rank == 1 else _in_a_line(variant.behind), _in_a_line(variant.beside_rival)],
        *([_number(variant.others.get(figure.name))] for figure in comparison.others),
        cost,
    ]
    return ["\n".join(filter(None, lines)) for lines in stacks]


def _in_a_line(found: Difference | None) -> str:
    """A difference, and whether it may be none; files have its interval and its p value."""
    return "" if found is None else f"{found.value.value:+.3f}{' tie' if found.is_tie else ''}"


def _parameters(number: int | None) -> str:
    """In millions from a hundred thousand on."""
    return "" if number is None else f"{number / 1e6:.2f}M" if number >= _MILLIONS else f"{number:,}"


def _bracketed(recorded: float | None) -> str:
    return "" if recorded is None else f"({recorded:.3f})"
