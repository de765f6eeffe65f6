"""Tables of one look for a terminal: names and notes at the left, numbers at the right, a rule below the headings."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from .wording import visible


def make_table(title: str | Text, *, left: Sequence[str], right: Sequence[str] = (), whole: bool = False) -> Table:
    """A table without rows: columns of text, then columns of numbers, by their headings.

    Where it is too wide for the terminal, cells are broken into lines, or with `whole` cut short.
    """
    # Every column of padding is one that a table of eighty columns has not for its cells.
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for heading in left:
        table.add_column(literal(heading), no_wrap=whole)
    for heading in right:
        table.add_column(literal(heading), justify="right", no_wrap=whole)
    return table


def literal(text: str, style: str = "") -> Text:
    """A text of several lines as it is: a name in it neither is markup nor acts on the terminal."""
    return Text(visible(text, keep="\n"), style=style)
