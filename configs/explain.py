"""What a setting means: its help, what it may be, its default and its value here."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..errors import SettingsError
from ..wording import listed
from .load import fields, nearest_hint
from .schema import Settings

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
    "pattern": "like {}",
}


def explain(key: str, *, settings: Settings) -> str:
    """Explain a setting by its dotted name, or every setting of a section.

    Raises:
        SettingsError: if there is no such setting; the message names the nearest.
    """
    known = dict(fields())
    chosen = [name for name in known if name == key or name.startswith(f"{key}.")]
    if not chosen:
        raise SettingsError(f"There is no setting {key}.{nearest_hint(key, known)} `weldcache config show` lists all.")
    return "\n\n".join(_paragraph(name, known[name], settings) for name in chosen)


def _paragraph(key: str, field: FieldInfo, settings: Settings) -> str:
    section_name, _, name = key.partition(".")
    section: BaseModel = getattr(settings, section_name)
    allowed = section.model_json_schema()["properties"][name]
    here = section.model_dump(mode="json")[name]
    return "\n".join(
        [
            key,
            f"  {field.description}",
            f"  may be:  {_told(allowed)}",
            f"  default: {json.dumps(field.default, default=str, ensure_ascii=False)}",
            f"  here:    {json.dumps(here, ensure_ascii=False)}",
        ]
    )


def _told(schema: Mapping[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "anyOf" in schema:
        return "; or ".join(_told(choice) for choice in schema["anyOf"])
    if "enum" in schema:
        return listed(schema["enum"], last="or")
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] == "array":
        each = schema.get("prefixItems")
        return f"list of {len(each)}, each: {_told(each[0])}" if each else f"list, each: {_told(schema['items'])}"
    limits = [words.format(schema[name]) for name, words in _LIMITS.items() if name in schema]
    kind = "path" if schema.get("format") == "path" else _KINDS[schema["type"]]
    return " ".join([kind, *([listed(limits)] if limits else [])])
