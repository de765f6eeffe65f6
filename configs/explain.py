"""What a setting means: its help, what it may be, its default and its value here."""

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from ..errors import SettingsError
from ..wording import listed, nearest_hint
from .moved import moved_to
from .section import Section, Setting, fields

_KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "null",
    "object": "keys with values",
}
_LIMITS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "multipleOf": "a multiple of {}",
    "like": "like {}",
}


def explained(key: str, *, settings: Section) -> list[dict[str, Any]]:
    """A setting by its dotted name, every setting of a section, or all settings whose last words `key` is: what each
    means, what it may be in words, its default and what it is here, as JSON values.

    Raises:
        SettingsError: if there is no such setting; the message names the nearest.
    """
    known = {setting.key: setting for setting in fields(settings)}
    names = [name for name in known if name == key or name.startswith(f"{key}.")] or keys_ending(key, settings=settings)
    if not names:
        hint = moved_to(key) or f"There is no setting {key}.{_nearest(key, list(known))}"
        raise SettingsError(f"{hint} `weldcache config show` lists all.")
    return [_explained(known[name]) for name in names]


def explain(key: str, *, settings: Section) -> str:
    """What `explained` says as text, a paragraph a setting; raises as that."""
    return "\n\n".join(
        "\n".join(
            [
                told["key"],
                f"  {told['description']}",
                f"  may be:  {told['may_be']}",
                f"  default: {json.dumps(told['default'], ensure_ascii=False)}",
                f"  here:    {json.dumps(told['here'], ensure_ascii=False)}",
            ]
        )
        for told in explained(key, settings=settings)
    )


def keys_ending(words: str, *, settings: Section) -> list[str]:
    """The dotted names of all settings that end with `words`, such as train.lr with lr."""
    return [setting.key for setting in fields(settings) if f".{setting.key}".endswith(f".{words}")]


def _nearest(key: str, known: Sequence[str]) -> str:
    """A question after the setting whose dotted name is like `key`, or else whose last word is."""
    if hint := nearest_hint(key, known):
        return hint
    by_last_word = {name.rpartition(".")[2]: name for name in reversed(known)}
    nearest = difflib.get_close_matches(key, by_last_word, n=1)
    return f" Did you mean {by_last_word[nearest[0]]}?" if nearest else ""


def allowed(section: type[Section], name: str) -> str:
    """What the field `name` of a section may be, in words."""
    return _told(TypeAdapter(section.model_fields[name].rebuild_annotation()).json_schema())


def _explained(setting: Setting) -> dict[str, Any]:
    registry, name = setting.registry, setting.name
    if registry is not None and name == registry.key:
        may_be = listed(registry.names, last="or")  # the section itself knows its own name alone
    else:
        may_be = allowed(type(setting.section), name)
    default = json.loads(json.dumps(setting.field.default, default=str))
    return {
        "key": setting.key,
        "description": setting.field.description,
        "may_be": may_be,
        "default": default,
        "here": setting.told,
    }


def _told(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return "; or ".join(_told(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return listed([str(choice) for choice in schema["enum"]], last="or")
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        each = schema.get("prefixItems")
        return f"list of {len(each)}, each: {_told(each[0])}" if each else f"list, each: {_told(schema['items'])}"
    limits = [words.format(schema[name]) for name, words in _LIMITS.items() if name in schema]
    kind = "path" if schema.get("format") == "path" else _KINDS[schema["type"]]
    return " ".join([kind, *([listed(limits)] if limits else [])])
