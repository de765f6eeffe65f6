"""YAML 1.2's core schema, against a small reference, and what is not read at all."""

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from weldcache.configs.plain_yaml import dump_yaml, parse_value, parse_yaml
from weldcache.errors import SettingsError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def reference(word: str) -> object:
    """The table of section 10.3.2, line by line."""
    if word in ("", "~", "null", "Null", "NULL"):
        return None
    if word in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return word.lower() == "true"
    if re.fullmatch("0o[0-7]+", word):
        return int(word, 8)
    if re.fullmatch("0x[0-9a-fA-F]+", word):
        return int(word, 16)
    if re.fullmatch("[-+]?[0-9]+", word):
        return int(word, 10)
    if re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", word):
        return float(word)
    if re.fullmatch(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", word):
        return float(word.replace(".", ""))
    return word


@given(st.text("0123456789+-.eEox_:abfn", max_size=8))
def test_words_are_what_the_core_schema_makes_of_them(word: str) -> None:
    try:
        found = parse_yaml(word, origin="x")
    except SettingsError:
        return  # an indicator, such as - or : alone
    # - or : before a space, or at the end, are indicators; --- and ... begin and end a document
    if not isinstance(found, list | dict) and not word.startswith(("---", "...")):
        assert repr(found) == repr(reference(word))


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("010", 10),
        ("08", 8),
        ("0o10", 8),
        ("0x1F", 31),
        ("1_0", "1_0"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("2e-5", 2e-5),
        (".5", 0.5),
        ("off", "off"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("<<", "<<"),
        ("-.INF", float("-inf")),
        ("\u0661\u0662", "\u0661\u0662"),
        ("!!str 12", "12"),
    ],
)
def test_numbers_of_yaml_1_1_are_not_read(word: str, value: object) -> None:
    found = parse_yaml(word, origin="x")
    assert found == value and type(found) is type(value)


@settings(max_examples=50)
@given(VALUES)
def test_what_is_written_is_read_back_and_by_others_too(value: object) -> None:
    text = dump_yaml(value)
    found = parse_yaml(text, origin="x")
    assert found == value and type(found) is type(value)
    if isinstance(value, str):
        assert yaml.safe_load(text) == value


def test_keys_are_text() -> None:
    assert parse_yaml("{1: a, true: b, 0.5: c}", origin="x") == {"1": "a", "true": "b", "0.5": "c"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n  c: 1\n  c: 2\n", "x.yaml, line 4: c stands twice"),
        ("a: 1\n'a': 1\n", "x.yaml, line 2: a stands twice"),
        ("a: &b [1]\nc: *b\n", r"x.yaml, line 2: \*b stands for a value elsewhere"),
        ("a: !!python/object/apply:os.system [ls]\n", "x.yaml, line 1: the tag .*os.system"),
        ("a: !!binary aGk=\n", "the tag"),
        ("a: !!int x\n", "the tag"),
        ("? [a]\n: 1\n", "a key must be text"),
        ("a: {\n", "x.yaml is not valid YAML, line 2"),
        ("a: 1\nb: 9999999999999999999\n", "x.yaml, line 2: a whole number of 19 digits"),
        ('a: "\\ud800"\n', "x.yaml, line 1: .*half of a character"),
        ("a\n---\nb\n", "x.yaml is not valid YAML, line 2"),
        ("a: 1\nb: \x1b\n", r"line 2: the character '\\x1b'"),
    ],
)
def test_what_is_refused_is_named_with_its_line(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_yaml(text, origin="x.yaml")


def test_nothing_may_follow_a_single_value() -> None:
    assert parse_value("'a # b'", origin="x") == "a # b"
    for text in ("1 # x", "[1] #x", "# x"):
        with pytest.raises(SettingsError, match="comment"):
            parse_value(text, origin="x")
