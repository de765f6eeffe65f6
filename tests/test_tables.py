"""Tables for people and for pipes."""

import re

import pytest
from rich.table import Table
from rich.text import Text

from weldcache import tables


def _table() -> Table:
    table = Table("name", "figures")
    table.columns[1].no_wrap = True
    table.add_row("a name " * 3, "0.123456789 " * 6)
    return table


@pytest.mark.parametrize(("terminal", "columns"), [(True, 120), (True, 40), (False, 40)])
def test_nothing_is_cut_where_the_table_has_no_room(
    terminal: bool, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(tables.Console, "is_terminal", terminal)
    tables.print_tables([_table()], narrowest=80)
    out = capsys.readouterr().out
    assert ("0.123456789 " * 6).strip() in out and ("a name " * 3).strip() in out


@pytest.mark.parametrize("terminal", [True, False])
def test_no_name_acts_on_a_terminal(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(tables.Console, "is_terminal", terminal)
    table = Table("model")
    table.add_row(Text("one\x1b]0;owned\x07"))
    tables.print_tables([table, Text("two\x1b[2J\u202e", style="red"), "three\nlines"])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out
    assert r"one\x1b]0;owned" in out and r"two\x1b[2J\u202e" in out and "three\nlines" in out


@pytest.mark.parametrize("columns", [60, 80])
def test_a_wide_table_of_names_and_numbers_is_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(tables.Console, "is_terminal", True)
    table = tables.make_table("sets", left=["name"], right=[f"heading{number}" for number in range(7)], whole=True)
    table.add_row("a_name_that_is_long", *[f"{number}23,456" for number in range(7)])
    tables.print_tables([table])
    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= columns and len(lines) > 4
    digits = [character for line in lines for character in line if character.isdigit()]
    assert len(digits) == 7 * 6 + 7 and "…" not in "".join(lines)  # of the numbers and of the headings
