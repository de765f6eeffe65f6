"""YAML as people mean it, read as if a stranger had written it: every file of settings and every `--set` comes by here.

Words without quotes are what the core schema of YAML 1.2.2 (section 10.3.2) makes of them. Of 1.1, which PyYAML knows,
`off` would be false, `010` eight, `1:30` ninety and `1_0` ten; here they are text, ten, text and text. Keys are text.

Refused with their line, before a value is made of them: a key that stands twice, of which YAML takes the last without a
word; aliases, of which nine can stand for a billion values; tags that are not the core schema's; and what is nested too
deep or too long to be a setting.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from ..documents import decoded, read_regular_file
from ..errors import NotFoundError, SettingsError, reason_of

_MOST_BYTES = 256 << 10  # of one file; PyYAML takes seconds for more
_MOST_LEVELS = 32
_MOST_DIGITS = 18  # of a whole number: what fits into 64 bits, for seeds and sizes go where no more does
_LONGEST_KEY = 200

_TAG = "tag:yaml.org,2002:"
# What a word without quotes is, in the order of trying; what it may begin with; and what Python makes of it.
_SCALARS: Mapping[str, tuple[str, str, Callable[[str], Any]]] = {
    "null": (r"null|Null|NULL|~|", "~nN", lambda word: None),
    "bool": (r"true|True|TRUE|false|False|FALSE", "tTfF", lambda word: word.lower() == "true"),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789", lambda word: _whole(word)),
    "float": (
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
        lambda word: float(re.sub(r"\.(?=[a-zA-Z])", "", word)),
    ),
}


class _Refused(yaml.MarkedYAMLError):
    """It is YAML, and no setting is written like that."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _PlainLoader(yaml.SafeLoader):
    """Composes nodes, no deeper than they may be and without aliases; values are made of them by `_value`."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _Refused(f"*{event.anchor} stands for a value elsewhere; write the value itself", event.start_mark)
        self._level += 1
        if self._level > _MOST_LEVELS:
            raise _Refused(f"it is nested more than {_MOST_LEVELS} levels deep", event.start_mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._level -= 1
        return node


class _PlainDumper(yaml.SafeDumper):
    """Quotes what either version of YAML would take for something other than text, so that every reader agrees."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_PlainLoader.yaml_implicit_resolvers = {}
for _name, (_pattern, _letters, _) in _SCALARS.items():
    _compiled = re.compile(rf"(?:{_pattern})\Z")
    _PlainLoader.add_implicit_resolver(_TAG + _name, _compiled, [*_letters, *([""] if _name == "null" else [])])
    _PlainDumper.add_implicit_resolver(_TAG + _name, _compiled, list(_letters))


def read_text(path: Path) -> str:
    """The text of a settings file.

    Raises:
        NotFoundError: if it is not there.
        SettingsError: if it cannot be read, is not a regular file, not UTF-8, or too large to hold settings.
    """
    try:
        content = read_regular_file(path, most_bytes=_MOST_BYTES)
    except FileNotFoundError:
        raise NotFoundError(f"There is no {path}.") from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {reason_of(error)}.") from None
    return text_of(content, origin=str(path))


def text_of(content: bytes, *, origin: str) -> str:
    """The text that was read from a settings file, which `origin` is.

    Raises:
        SettingsError: if it is not UTF-8, or too large to hold settings.
    """
    if len(content) > _MOST_BYTES:
        raise SettingsError(f"{origin} cannot be read: it has more than {_MOST_BYTES:,} bytes.")
    try:
        return decoded(content)
    except ValueError as error:
        raise SettingsError(f"{origin} is not valid YAML, {error}.") from None


def parse_yaml(text: str, *, origin: str) -> Any:
    """The value of a YAML document: None, text, numbers, booleans, and lists and dicts of these.

    Raises:
        SettingsError: if it is not YAML or is refused; the message names `origin` and the line.
    """
    value, _ = _parsed(text, origin=origin)
    return value


def parse_value(text: str, *, origin: str) -> Any:
    """The value of one line of YAML that nothing follows, not even a comment: there, text would be lost unseen.

    Raises:
        SettingsError: as `parse_yaml`.
    """
    value, rest = _parsed(text, origin=origin)
    if rest:
        raise SettingsError(f"{origin}: what follows # is a comment, {rest!r}; quote the value, or leave the rest out.")
    return value


def dump_yaml(value: Any) -> str:
    """YAML that `parse_yaml` makes the same value of, its keys in their order."""
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False)


def _parsed(text: str, *, origin: str) -> tuple[Any, str]:
    """The value of a document, and the text behind its last node."""
    try:
        node = _composed(text)
        return (None, text.strip()) if node is None else (_value(node), text[node.end_mark.index :].strip())
    except _Refused as error:
        raise SettingsError(f"{origin}{_line(error)}: {error.problem}.") from None
    except yaml.MarkedYAMLError as error:
        raise SettingsError(f"{origin} is not valid YAML{_line(error)}: {error.problem or error.context}.") from None
    except ReaderError as error:
        line = 1 + text.count("\n", 0, error.position)
        raise SettingsError(
            f"{origin} is not valid YAML, line {line}: the character {text[error.position]!a} may not stand there."
        ) from None


@functools.lru_cache(maxsize=16)
def _composed(text: str) -> yaml.Node | None:
    """The nodes of a document, which nobody changes: a command reads the same settings several times."""
    loader = _PlainLoader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
    finally:
        loader.dispose()
    return node


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    return "" if mark is None else f", line {mark.line + 1}"


def _value(node: yaml.Node) -> Any:
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return dict(_entries(node))
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_value(child) for child in node.value]
    if isinstance(node, yaml.ScalarNode) and kind == "str":
        return _text(node)
    if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
        pattern, _, convert = _SCALARS[kind]
        if re.fullmatch(pattern, node.value):
            if kind == "int" and (digits := len(node.value.lstrip("+-"))) > _MOST_DIGITS:
                raise _Refused(f"a whole number of {digits:,} digits is no setting", node.start_mark)
            return convert(node.value)
    raise _Refused(f"the tag {node.tag} makes nothing that a setting can be; leave it out", node.start_mark)


def _entries(node: yaml.MappingNode) -> Iterator[tuple[str, Any]]:
    seen = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode) or len(key.value) > _LONGEST_KEY:
            raise _Refused(f"a key must be text of at most {_LONGEST_KEY} characters", key.start_mark)
        if _text(key) in seen:
            raise _Refused(f"{key.value} stands twice; only one of the two would count", key.start_mark)
        seen.add(key.value)
        yield key.value, _value(value)


def _text(node: yaml.ScalarNode) -> str:
    text: str = node.value
    if text != text.encode(errors="replace").decode():
        raise _Refused("an escape stands for half of a character; write the character itself", node.start_mark)
    return text


def _whole(word: str) -> int:
    base = {"0o": 8, "0x": 16}.get(word[:2])
    return int(word) if base is None else int(word[2:], base)
