"""What a setting means: its help, its type, its default and its value here."""

from typing import Any

from pydantic.fields import FieldInfo

from ..errors import SettingsError
from .load import fields, nearest_hint
from .schema import Settings


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
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    kind = str(field.annotation).replace("typing.", "").replace("<class '", "").replace("'>", "")
    limits = ", ".join(str(limit) for limit in field.metadata if not callable(limit))
    return "\n".join(
        [
            key,
            f"  {field.description}",
            f"  type:    {kind}{f' ({limits})' if limits else ''}",
            f"  default: {field.default}",
            f"  here:    {value}",
        ]
    )
