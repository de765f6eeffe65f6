"""Findings are told alike, whatever was checked: by kind, the first few of each, with the remedy once."""

from rich.console import Console

from weldcache.findings import Check, Finding, check_table, finding_texts
from weldcache.tables import make_table

NOTE = Finding("notes", "note", "a view was not taken", "")
ERROR = Finding("values", "error", "NaN", "Compute it again.", key="day/[b]7", part="video/tokens")


def shown(*parts: object) -> str:
    console = Console(width=80, force_terminal=False)
    with console.capture() as capture:
        for part in parts:
            console.print(part)
    return capture.get()


def test_notes_alone_are_no_failure() -> None:
    assert Check("notes", "3 rows", [NOTE]).passed and not Check("values", "3 rows", [NOTE, ERROR]).passed
    assert Check("values", "", [NOTE, ERROR]).counts() == {"errors": 1, "warnings": 0, "notes": 1}


def test_as_json_a_finding_says_only_what_is_known() -> None:
    assert NOTE.to_json() == {"check": "notes", "severity": "note", "evidence": "a view was not taken"}
    assert ERROR.to_json()["key"] == "day/[b]7"


def test_many_alike_are_cut_and_have_their_remedy_once() -> None:
    told = shown(*finding_texts([ERROR] * 25 + [NOTE]))
    assert told.count("NaN") == 10 and "15 more" in told and told.count("Compute it again.") == 1
    assert "(day/[b]7, video/tokens)" in told


def test_a_name_in_a_table_is_no_markup() -> None:
    told = shown(check_table([Check("[red]values", "3 rows", [ERROR])]), make_table("", left=["\x1b[31m"]))
    assert "[red]values" in told and "1 error" in told and "\x1b" not in told
