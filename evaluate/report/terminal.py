"""The report for a terminal: its brief sections, one table below the other, and no pictures."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table

from ...tables import literal, make_table
from ..section import Report, Rows, Section, demo_sentence, interval, number


def render_terminal(report: Report, *, details: bool = False) -> RenderableType:
    """Something that `rich` prints, with `details` all tables of the brief sections. All texts are literal: square
    brackets in a class name are no markup."""
    provenance = report.provenance
    shown: list[RenderableType] = [literal(f"{provenance.title} on {provenance.split}", "bold")]
    brief = [section for section in report.sections if section.brief]
    shown += [literal(f"{section.title}.", "bold") for section in brief if section.look == "verdict"]
    for section in brief:
        shown += _section(section, details=details)
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
    for point in section.points:
        yield literal(f"- {point}")


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
