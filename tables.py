"""Tables of one look, on a terminal, and whole in a pipe or a file, where names and numbers are for copying."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from .wording import visible

_WIDEST = 10_000  # columns of what is no terminal


def make_table(title: str | Text, *, left: Sequence[str], right: Sequence[str] = (), whole: bool = False) -> Table:
    """A table without rows: columns of text at the left, then columns of numbers, by their headings.

    Where it is too wide for the terminal, cells are broken into lines; with `whole` only where nothing else helps.
    """
    # Every column of padding is one that a table of eighty columns has not for its cells.
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in left:
        table.add_column(literal(heading), no_wrap=whole, overflow="fold")
    for heading in right:
        table.add_column(literal(heading), justify="right", no_wrap=whole, overflow="fold")
    return table


def literal(text: str, style: str = "") -> Text:
    """A text of several lines as it is: a name in it neither is markup nor acts on the terminal."""
    return Text(visible(text, keep="\n"), style=style)


def print_tables(parts: Iterable[RenderableType], *, narrowest: int = 0) -> None:
    """Print to stdout; a terminal of less than `narrowest` columns breaks the lines rather than lose part of them.

    What a store or a run holds of names, notes and versions may be a stranger's: nothing of it acts on the terminal.
    """
    console = Console()
    fits = console.is_terminal and console.width >= narrowest
    if not fits:
        console.width = _WIDEST
    for part in parts:
        if isinstance(part, Table) and _width(part, console) > console.width:
            _let_break(part, width=console.width)
        console.print(_Visible(part), soft_wrap=not fits)


def _width(table: Table, console: Console) -> int:
    """Columns of the terminal that a table takes of which no cell is broken."""
    return console.measure(table, options=console.options.update(width=_WIDEST)).maximum


def _let_break(table: Table, *, width: int) -> None:
    """Let cells take several lines, where none may: what stands in two lines is still there, and what is cut is not.

    The first column, whose names are copied into other commands, stays whole where it leaves half of the room.
    """
    may_not = all(column.no_wrap for column in table.columns)
    for column in table.columns:
        column.overflow, column.no_wrap = "fold", column.no_wrap and not may_not
    if table.columns and 2 * max(map(cell_len, map(str, table.columns[0].cells)), default=0) <= width:
        table.columns[0].no_wrap = True


@dataclass(frozen=True)
class _Visible:
    """A part of which rich's own styles alone reach the terminal."""

    part: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.part, options):
            yield segment._replace(text=visible(segment.text, keep="\n")) if segment.control is None else segment
