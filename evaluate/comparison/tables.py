"""Compared runs for a terminal: sentences on their differences, and for who asks tables."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import RenderableType

from ...documents import Json
from ...metrics.estimate import span, with_span
from ...metrics.p_value import RAREST_CHANCE, p_told
from ...tables import literal, make_table
from ...train.data.samples import VALIDATION_SPLIT
from ...train.runs.tables import comparison_tables
from ...wording import count_of, first_of, listed, shortened
from ..trials.measure import Difference
from .compare import ComparedRuns
from .paired import Pair, Paired

_MOST_SENTENCES = 5  # of pairs with the best run
_MOST_NAMED = 5  # settings


def compared_tables(compared: ComparedRuns, *, details: bool) -> Iterator[RenderableType]:
    """What is shown of the difference of the best run to each other one, in a sentence each. With `details`, and where
    runs cannot be paired, tables: the ranking, the classes, figures and settings side by side."""
    if compared.paired is not None:
        yield from (literal(sentence) for sentence in first_of(_sentences(compared.paired), most=_MOST_SENTENCES))
        yield from (literal(caveat) for caveat in _caveats(compared.paired))
        if not details:
            yield literal(_differing(compared.beside.settings))
            yield from (literal(note, style="yellow") for note in compared.beside.notes)
            yield literal("--verbose shows the ranking, classes, figures and settings side by side.", style="dim")
            return
        yield from _paired_tables(compared.paired)
    yield from comparison_tables(compared.beside)


def _sentences(found: Paired) -> list[str]:
    """Which run is ahead of which, by how much, and whether that is more than chance."""
    first, behind = found.ranking[0], found.behind_the_first()
    told = []
    for ranked in found.ranking[1:]:
        difference = behind[ranked.run].difference
        shown = f"{first.run} is better than {ranked.run}"
        if difference.is_tie:
            shown = f"It is not shown that {shown}"
        low, high, p_value = ranked.figure.value, first.figure.value, p_told(difference.p_holm)
        told.append(
            f"{shown}: {found.figure.label} {high:.3f} and {low:.3f}, {ranked.run} less {first.run} "
            f"{with_span(difference.value, sign='+')}, p (Holm) {p_value}."
        )
    return told


def _differing(settings: Mapping[str, Sequence[Json]]) -> str:
    if not settings:
        return "No setting differs."
    named = shortened(list(settings), most=_MOST_NAMED)
    return f"{count_of(len(settings), 'setting differs', 'settings differ')}: {named}."


def _paired_tables(found: Paired) -> Iterator[RenderableType]:
    label = found.figure.label
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
    yield from (literal(note) for note in _notes(found))


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


def _caveats(found: Paired) -> Iterator[str]:
    judged = f"Paired on {count_of(found.num_samples, 'sample')} of {found.split}, each judged by all runs"
    yield f"{judged}; intervals are of 95%."
    if found.split == VALIDATION_SPLIT:
        yield "Validation chose the weights of these runs, so that figures on it flatter them."
    if len(found.ranking) > 2:
        first = found.ranking[0].run
        yield f"{first} was found to be first on these very samples: the best of several is partly the luckiest."


def _notes(found: Paired) -> Iterator[str]:
    yield (
        f"A tie: p (Holm) is {RAREST_CHANCE} or more; the interval of the difference alone may leave out 0 all the "
        "same. Differences are paired, sample by sample. p values are corrected after Holm: of runs, for every two of "
        "them; of classes, for those of one table."
    )
    yield from found.ways
