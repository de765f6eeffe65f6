"""How names and paths are written for people, terminals and spreadsheets."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.wording import (
    brief,
    count_of,
    format_seconds,
    format_size,
    from_to,
    homes_hidden,
    homes_restored,
    in_words,
    is_are,
    lined_up,
    listed,
    shortened,
    spreadsheet_cell,
    under_home,
    visible,
    written_path,
)


@pytest.mark.parametrize("acting", ["\x1b]0;title\x07", "\x9b31m", "a\nb", "\u202eabc", "\udcfc", "\x7f", "\u2028"])
def test_what_acts_on_a_terminal_is_shown_as_an_escape(acting: str) -> None:
    shown = visible(acting)
    assert shown.isprintable() and "\\" in shown


@given(st.text(st.characters(categories=["L", "N", "P", "S", "Zs"])))
def test_what_people_write_stays(text: str) -> None:
    assert visible(text) == text


def test_line_breaks_stay_where_they_are_asked_for() -> None:
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(st.sampled_from(["=cmd|x", "+1+1", "-2", "@SUM(A1)", "\t=1"]))
def test_no_cell_is_a_formula(text: str) -> None:
    assert spreadsheet_cell(text)[0] not in "=+-@\t"


def test_numbers_and_lists_of_things() -> None:
    assert (is_are(1), is_are(0), is_are(2)) == ("is", "are", "are")
    assert (count_of(1, "note"), count_of(2361, "note"), count_of(2, "process", "processes")) == (
        "1 note",
        "2,361 notes",
        "2 processes",
    )
    assert listed(["a", "b", "c"], last="or") == "a, b or c"
    assert shortened(list("abcde"), most=3) == "a, b, c and 2 more"
    assert shortened(list("abc"), most=3) == "a, b, c"
    assert lined_up(list("abcde"), most=2) == "  a\n  b\n  ... and 3 more"
    assert lined_up(list("ab"), most=2) == "  a\n  b"


def test_a_path_below_home_hides_whose_home_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    assert under_home(Path("/home/somebody/data/x")) == "~/data/x"
    assert under_home("/scratch/x") == "/scratch/x"


def test_a_value_is_shown_in_a_line() -> None:
    assert brief("\x1b[31m") == r"'\x1b[31m'" and brief([1, 2]) == "[1, 2]"
    nested: list[object] = ["x" * 9]
    for _ in range(9):
        nested = [nested] * 9
    assert len(brief(nested)) < 400 and len(brief("x" * 10**6)) < 200


def test_a_written_path_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert written_path("~/a b") == Path("/h/a b") and written_path("a/~") == Path("a/~")


@pytest.mark.parametrize("text", ["", "a\0b", "$HOME/x", "~nobody.of-that-name/x", "a/" + 256 * "x", "sch\udcfctte"])
def test_what_can_be_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        written_path(text)


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("weldcache train --cache /home/carla/x.zarr", "weldcache train --cache ~/x.zarr"),
        ("--cache=/home/carla --set 'data.root=/home/carla/a b'", "--cache=~ --set 'data.root=~/a b'"),
        ("/home/carlas/x /mnt/home/carla/x", "/home/carlas/x /mnt/home/carla/x"),
    ],
)
def test_the_users_home_is_hidden_and_found_again(monkeypatch: pytest.MonkeyPatch, text: str, hidden: str) -> None:
    monkeypatch.setenv("HOME", "/home/carla")
    assert homes_hidden(text) == hidden and homes_restored(hidden) == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.04, "0.0 s"),
        (8.14, "8.1 s"),
        (59.9, "59.9 s"),
        (60.0, "1 min 00 s"),
        (200.0, "3 min 20 s"),
        (3599.6, "1 h 00 min"),
        (7500.0, "2 h 05 min"),
        (90_000.0, "25 h 00 min"),
    ],
)
def test_seconds_read_as_a_person_says_them(seconds: float, words: str) -> None:
    assert format_seconds(seconds) == words


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 kB"), (7_500_000, "7.5 MB"), (1.66e12, "1.66 TB"), (2.5e18, "2,500 PB")],
)
def test_counts_are_scaled(count: float, text: str) -> None:
    assert format_size(count) == text


def test_an_interval_has_both_ends_in_one_form() -> None:
    assert from_to(-0.083, 0.02, "+.3f") == "-0.083 to +0.020"
    assert from_to(0.024, 0.116, ".1%") == "2.4% to 11.6%"


def test_a_figures_name_in_words() -> None:
    assert [in_words(name) for name in ("val_auroc", "val_macro_f1", "loss")] == ["val AUROC", "val macro F1", "loss"]
