"""Names of classes, as people write them in any script."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.extract.sources.welds.classes import (
    CLASS_NAMES,
    WeldsSettings,
    class_code_of,
    class_name_of,
    is_unlabelled,
)

NORMAL = WeldsSettings().normal_classes


@given(st.text(max_size=12))
def test_a_name_is_its_own_name(category: str) -> None:
    name = class_name_of(category, normal=NORMAL)
    assert class_name_of(name, normal=NORMAL) == name


@given(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=6))
def test_writing_does_not_matter(word: str) -> None:
    written = [word, f" {word}.", f"({word})", unicodedata.normalize("NFD", word), f"{word} weld"]
    assert len({class_name_of(category) for category in written}) == 1


@given(st.lists(st.text("aäößé孔隙裂纹пора#<>12", min_size=1, max_size=3), min_size=2, max_size=2, unique=True))
def test_what_differs_stays_apart(words: list[str]) -> None:
    names = [class_name_of(f"riss {word}") for word in words]
    folded = {unicodedata.normalize("NFKC", word).casefold() for word in words}
    assert len(set(names)) == len(folded)


@pytest.mark.parametrize("name", CLASS_NAMES.values())
def test_the_twelve_classes_are_themselves(name: str) -> None:
    assert class_name_of(name.replace("_", " ").title(), normal=NORMAL) == name
    assert not is_unlabelled(name)


@pytest.mark.parametrize("category", ["", " - ", "?", "...", "#", "weld"])
def test_no_word_is_no_class(category: str) -> None:
    assert class_name_of(category, normal=(*NORMAL, "-", "welds")) == ""


def test_no_normal_name_is_a_word_for_not_knowing() -> None:
    assert not any(is_unlabelled(name) for name in NORMAL)


@pytest.mark.parametrize(
    ("run", "code"),
    [
        ("09-20-22-0010-00", "00"),
        ("09-20-22-0010-11", "11"),
        ("09-20-22-0010-42", "42"),
        ("09-20-22-0010-5", None),
        ("09-20-22-0010-05_copy", None),
        ("weld-05", None),
        ("", None),
    ],
)
def test_class_code(run: str, code: str | None) -> None:
    assert class_code_of(run) == code
