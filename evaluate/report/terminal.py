"""The report for a terminal: what it comes to in ten lines or so, and for who asks its brief sections."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from ...tables import literal, make_table
from ...wording import count_of, listed
from ..section import Report, Rows, Section, demo_sentence, interval, number

# Of a look that is brief.
_FACTS_SHOWN = 3  # the model's, and those of what it has to beat
_POINTS_SHOWN = 1  # they come the gravest first


def render_terminal(report: Report, *, details: bool = False) -> RenderableType:
    """Something that `rich` prints: the verdict, the result beside its controls and the gravest note, in ten lines or
    so; with `details` every brief section. All texts are literal: square brackets in a class name are no markup."""
    provenance = report.provenance
    brief = [section for section in report.sections if section.brief]
    verdicts = [section for section in brief if section.look == "verdict"]
    told = " ".join(f"{section.title}." for section in verdicts)
    shown: list[RenderableType] = [literal(f"{provenance.title} on {provenance.split}: {told}".rstrip(": "), "bold")]
    if details:
        for section in brief:
            shown += _section(section)
    else:
        shown += _gist(brief, verdicts)
    if sentence := demo_sentence(provenance.random_features, provenance.trained_features):
        shown.append(literal(sentence))
    return Group(*shown)


def _gist(brief: Sequence[Section], verdicts: Sequence[Section]) -> Iterator[RenderableType]:
    """The first facts, the gravest of what the verdict names, and how much more there is."""
    headlines = [section for section in brief if section.look == "headline"]
    facts = [fact for section in headlines for fact in section.shown if fact.value is not None]
    if facts:
        table = Table.grid(padding=(0, 2, 0, 0))
        for fact in facts[:_FACTS_SHOWN]:
            table.add_row(
                *map(literal, (fact.label or "", number(fact.value, fact.style), interval(fact.value, fact.style)))
            )
        yield table
    points = [point for section in verdicts for point in section.points]
    yield from (literal(f"- {point}") for point in points[:_POINTS_SHOWN])
    left = [count_of(len(points[_POINTS_SHOWN:]), "note")] if points[_POINTS_SHOWN:] else []
    further = len(brief) - len(headlines) - len(verdicts)
    left += [count_of(further, "section")] if further else []
    if left:
        yield literal(f"--verbose shows {listed(left)} more, and so does the report.")


def _section(section: Section) -> Iterator[RenderableType]:
    if section.shown:
        yield _facts(section)
    for rows in section.rows:
        if rows.shown:
            yield _rows(rows, title=rows.title or ("" if section.shown else section.title))
    yield from (literal(f"- {point}") for point in section.points)


def _facts(section: Section) -> Table:
    title = "" if section.look == "headline" else section.title  # the run's name stands above it
    table = make_table(literal(title), left=[""], right=["value", "95% interval"])
    table.add_column("note")
    for fact in section.shown:
        spread = interval(fact.value, fact.style)
        table.add_row(literal(fact.label or ""), number(fact.value, fact.style), spread, literal(fact.note))
    return table


def _rows(rows: Rows, *, title: str) -> Table:
    table = make_table(literal(title), left=[])
    for column in rows.shown:
        table.add_column(literal(column.label or ""), justify="left" if column.of_text else "right", overflow="fold")
    for cells in rows.cells:
        table.add_row(*map(literal, cells))
    return table
