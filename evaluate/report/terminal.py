"""The report for a terminal: what it comes to, and for who asks its brief sections, one below the other."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table

from ...tables import literal, make_table
from ...wording import count_of
from ..section import Report, Rows, Section, demo_sentence, interval, number

_POINTS_SHOWN = 3  # of a section; they come the gravest first


def render_terminal(report: Report, *, details: bool = False) -> RenderableType:
    """Something that `rich` prints: the brief sections up to the verdict with its gravest points, and the names of the
    others; with `details` all of these. All texts are literal: square brackets in a class name are no markup."""
    provenance = report.provenance
    shown: list[RenderableType] = [literal(f"{provenance.title} on {provenance.split}", "bold")]
    brief = [section for section in report.sections if section.brief]
    shown += [literal(f"{section.title}.", "bold") for section in brief if section.look == "verdict"]
    end = next((place for place, section in enumerate(brief, start=1) if section.look == "verdict"), len(brief))
    first, further = (brief, []) if details else (brief[:end], brief[end:])
    for section in first:
        shown += _section(section, details=details)
    if not details:
        shown += _further(first, further)
    if sentence := demo_sentence(provenance.random_features, provenance.trained_features):
        shown.append(literal(sentence))
    return Group(*shown)


def _section(section: Section, *, details: bool) -> Iterator[RenderableType]:
    if section.shown:
        yield _facts(section)
    for rows in section.rows:
        if not rows.shown or (rows.detail and not details):
            continue
        yield _rows(rows, title=rows.title or ("" if section.shown else section.title))
    for point in section.points if details else section.points[:_POINTS_SHOWN]:
        yield literal(f"- {point}")


def _further(first: Sequence[Section], further: Sequence[Section]) -> Iterator[RenderableType]:
    """What was left out, in a line; nothing where nothing was."""
    num_points = sum(len(section.points[_POINTS_SHOWN:]) for section in first)
    named = [count_of(num_points, "note")] if num_points else []
    named += [f"{section.title[:1].lower()}{section.title[1:]}" for section in further]
    if named:
        yield literal(f"Further: {'; '.join(named)}. --verbose shows all, and so does the report.")


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
