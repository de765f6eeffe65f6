"""JSON from outside: bounded, strict, and sealed against edits."""

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weldcache.documents import (
    decoded,
    foreign_kind,
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


@pytest.mark.parametrize("text", ["", "a", "a,b\n", "größer", "孔隙1", "a\0b,c\n", "PK,BZh"])
def test_text_is_nothing_else(text: str) -> None:
    assert foreign_kind(text.encode()) is None
    assert decoded(text.encode("utf-8-sig"), encoding="utf-8-sig") == text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ("a,b".encode("utf-16"), "UTF-16"),
        ("a,b".encode("utf-16-le"), "UTF-16"),
        ("a,größer".encode("utf-16-be"), "UTF-16"),
        (b"PK\x03\x04", "zip"),
        (gzip.compress(b"", mtime=0), "gzip"),
    ],
)
def test_what_is_no_text_in_utf8_is_named(content: bytes, kind: str) -> None:
    with pytest.raises(ValueError, match=f"line 1: .*{kind}"):
        decoded(content)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_byte_that_is_not_utf8_is_named_with_its_line(end: bytes, mark: bytes) -> None:
    with pytest.raises(ValueError, match="line 3: the byte 0xe4"):
        decoded(mark + b"a" + end + b"b" + end + b"c\xe4\xe5", encoding="utf-8-sig")
