"""Notes on welds: each once, like ones together, the worst first, none lost."""

from collections.abc import Callable

import pytest

from weldcache.cache.index import Index
from weldcache.cache.notes import Note, grouped, notes_of
from weldcache.cache.status import Status
from weldcache.cache.store import FeatureStore
from weldcache.cache.writer import StoreWriter


def noted(key: str, reason: str, status: Status = Status.UNREADABLE, *, feature_set: str = "video") -> Note:
    return Note(key, reason, {feature_set: status})


def test_four_thousand_absent_welds_are_one_line() -> None:
    notes = [
        noted(f"s{number % 7}/w-{number}", f"there is no folder s{number % 7}/w-{number}", Status.ABSENT)
        for number in range(4040)
    ]
    (group,) = grouped(notes)
    assert len(group.keys) == 4040 and group.keys[0] == "s0/w-0"
    assert (
        "4,040 parts" in group.told("part")
        and "there is no folder …" in group.told("part")
        and len(group.told("part")) < 120
    )


def test_reasons_that_differ_in_names_and_numbers_alone_are_alike() -> None:
    notes = [
        noted("day/a", "/data/day/a/a.avi: 20 of 90 frames decode."),
        noted("day/b", "/data/day/b/b.avi: 31 of 90 frames decode."),
        noted("day/c", "/data/day/c/c.avi is empty."),
    ]
    alike, other = grouped(notes)
    assert alike.keys == ("day/a", "day/b") and "a.avi" not in alike.reason and "frames decode" in alike.reason
    assert other.told("part") == "day/c, video (unreadable): /data/day/c/c.avi is empty."
    same = grouped([noted("a", "it lasts 2.5 s"), noted("b", "it lasts 2.5 s")])
    assert same[0].reason == "it lasts 2.5 s"  # numbers that agree stay
    (some,) = grouped([noted(key, f"{value} does not fit float16") for key, value in (("a", "7e4"), ("b", "8e4"))])
    assert some.reason == "…e4 does not fit float16"  # beside those that do not


def test_the_worst_come_first_and_kinds_are_not_mixed() -> None:
    notes = [
        noted("a", "dark", Status.COMPLETE),
        noted("b", "dark", Status.COMPLETE),
        noted("c", "no file", Status.ABSENT),
        noted("d", "broken"),
        noted("e", "broken", feature_set="audio"),
        noted("f", "memory", Status.MISSING),
    ]
    assert [group.keys for group in grouped(notes)] == [("f",), ("d",), ("e",), ("c",), ("a", "b")]


def test_a_name_cannot_act_on_the_terminal() -> None:
    (group,) = grouped([noted("day/\x1b[31mred", "it holds \u202etext")])
    assert "\x1b" not in group.told("part") and "\u202e" not in group.told("part") and "red" in group.told("part")


@pytest.mark.parametrize("left_out", [False, True])
def test_a_store_tells_each_note_once_and_none_of_what_is_left_out(
    store: FeatureStore, make_index: Callable[..., Index], left_out: bool
) -> None:
    writer = StoreWriter(store)
    writer.report("video", 3, Status.ABSENT, reason="no film")
    writer.report("video", 1, Status.UNREADABLE, reason="broken")
    if left_out:
        store.follow(make_index(3))
    told = notes_of(store)
    assert told[0] == Note("day/001", "broken", {"video": Status.UNREADABLE})
    assert [note.key for note in told[1:]] == ([] if left_out else ["day/003"])
