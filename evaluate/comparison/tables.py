"""Compared runs as tables for a terminal."""

from collections.abc import Iterator

from rich.console import RenderableType

from ...metrics.estimate import span
from ...metrics.p_value import RAREST_CHANCE, p_told
from ...tables import literal, make_table
from ...train.data.samples import VALIDATION_SPLIT
from ...train.runs.tables import comparison_tables
from ...wording import count_of, listed
from ..trials.measure import Difference
from .compare import ComparedRuns
from .paired import Pair, Paired


def compared_tables(compared: ComparedRuns) -> Iterator[RenderableType]:
    """The ranking and the classes, where runs can be paired; then figures and settings side by side."""
    if compared.paired is not None:
        yield from _paired_tables(compared.paired)
    yield from comparison_tables(compared.beside)


def _paired_tables(found: Paired) -> Iterator[RenderableType]:
    label = found.figure.label
    first, *_ = found.ranking
    title = f"{label} on {count_of(found.num_samples, 'sample')} of {found.split}, each judged by all runs"
    table = make_table(
        title, left=["rank", "run"], right=[label, "95% interval", "less the first", "95% interval", "p (Holm)"]
    )
    table.add_column("")
    behind = found.behind_the_first()
    for ranked in found.ranking:
        cells = _cells(behind[ranked.run].difference) if ranked.run in behind else ["", "", ""]
        tie = f"tie with {listed(ranked.tied_with)}" if ranked.tied_with else ""
        own = [str(ranked.rank), ranked.run, f"{ranked.figure.value:.3f}", span(ranked.figure)]
        table.add_row(*map(literal, [*own, *cells, tie]))
    yield table
    for pair in behind.values():
        yield from _class_table(pair, label=label)
    yield from (literal(note) for note in _notes(found, first=first.run))


def _class_table(pair: Pair, *, label: str) -> Iterator[RenderableType]:
    if len(pair.by_class) < 2:  # one class says no more than the whole
        return
    title = f"{label} by class: {pair.run} less {pair.reference}"
    table = make_table(title, left=["class"], right=["n", "difference", "95% interval", "p (Holm)"])
    table.add_column("")
    for each in pair.by_class:
        cells = ["", "", ""] if each.difference is None else _cells(each.difference)
        tie = "tie" if each.difference is not None and each.difference.is_tie else ""
        table.add_row(*map(literal, [each.name, f"{each.num:,}", *cells, each.note or tie]))
    yield table


def _cells(found: Difference) -> list[str]:
    return [f"{found.value.value:+.3f}", span(found.value, sign="+"), p_told(found.p_holm)]


def _notes(found: Paired, *, first: str) -> Iterator[str]:
    yield (
        f"A tie: p (Holm) is {RAREST_CHANCE} or more; the interval of the difference alone may leave out 0 all the "
        "same. Differences are paired, sample by sample. p values are corrected after Holm: of runs, for every two of "
        "them; of classes, for those of one table."
    )
    if found.split == VALIDATION_SPLIT:
        yield "Validation chose the weights of these runs, so that figures on it flatter them."
    if len(found.ranking) > 2:
        yield f"{first} was found to be first on these very samples: the best of several is partly the luckiest."
    yield from found.ways
