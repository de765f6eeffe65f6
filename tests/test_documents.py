"""JSON from outside: bounded, strict, and sealed against edits."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.documents import (
    is_sealed,
    parse_json,
    read_document,
    read_regular_file,
    seal_holds,
    sealed,
    write_sealed,
)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "text",
    ["{", "NaN", '{"a": Infinity}', "1e999", "[" * 100 + "]" * 100, "[" * 100_000, '{"a": 1, "a": 2}', "9" * 5000],
)
def test_what_is_not_sane_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_sealed_document_holds_until_a_value_changes(document: dict[str, object]) -> None:
    whole = sealed(document)
    assert is_sealed(whole) and seal_holds(whole) and seal_holds(sealed(whole))
    assert not seal_holds({**whole, "one more": 1})
    assert not seal_holds(document if "checksum" not in document else {})


def test_a_document_comes_back_from_its_file(tmp_path: Path) -> None:
    write_sealed(tmp_path / "x.json", {"a": [1, 2.5, None]})
    assert seal_holds(read_document(tmp_path / "x.json"))


def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.json")
    with pytest.raises(OSError):
        read_document(tmp_path / "x.json")


def test_an_endless_or_large_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(1000))
    with pytest.raises(ValueError):
        read_regular_file(tmp_path / "large", most_bytes=999)
    with pytest.raises(OSError):
        read_regular_file(Path("/dev/zero"))
