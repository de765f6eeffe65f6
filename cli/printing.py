"""Tables on a terminal, and whole in a pipe or a file, where names and numbers are for copying."""

from collections.abc import Iterable

from rich.console import Console, RenderableType

_WIDEST = 10_000


def print_tables(parts: Iterable[RenderableType], *, narrowest: int = 0) -> None:
    """Print to stdout; a terminal of less than `narrowest` columns breaks the lines rather than lose part of them."""
    console = Console()
    fits = console.is_terminal and console.width >= narrowest
    if not fits:
        console.width = _WIDEST
    for part in parts:
        console.print(part, soft_wrap=not fits)
