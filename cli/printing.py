"""Tables on a terminal, and whole in a pipe or a file, where names and numbers are for copying."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ..wording import visible

_WIDEST = 10_000


def print_tables(parts: Iterable[RenderableType], *, narrowest: int = 0) -> None:
    """Print to stdout; a terminal of less than `narrowest` columns breaks the lines rather than lose part of them.

    What a store or a run holds of names, notes and versions may be a stranger's: nothing of it acts on the terminal.
    """
    console = Console()
    fits = console.is_terminal and console.width >= narrowest
    if not fits:
        console.width = _WIDEST
    for part in parts:
        console.print(_Visible(part), soft_wrap=not fits)


@dataclass(frozen=True)
class _Visible:
    """A part of which rich's own styles alone reach the terminal."""

    part: RenderableType

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        for segment in console.render(self.part, options):
            yield segment._replace(text=visible(segment.text, keep="\n")) if segment.control is None else segment
