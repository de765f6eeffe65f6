"""The generated parts of the site, as Markdown: commands from their help, settings from their schema, the API from its
docstrings."""

import json
import re
from collections.abc import Callable, Iterator, Mapping

import typer
from typer.core import TyperCommand, TyperGroup

from weldcache.cli.main import app
from weldcache.configs.explain import allowed
from weldcache.configs.section import Registry, Section, choices, entry_choices, inner_section
from weldcache.settings import Settings
from weldcache.wording import listed

_API = """\
```{eval-rst}
.. automodule:: weldcache.api
   :members:
   :imported-members:
```
"""


def _plain(text: str) -> str:
    """Text of a help as Markdown: `<` begins no tag; within code it stays as it is."""
    code_or_not = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else part.replace("<", r"\<") for part in code_or_not)


def _commands(command: TyperCommand | TyperGroup, name: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    """A command and those below it, by what is typed."""
    yield name, command
    for word, below in command.commands.items() if isinstance(command, TyperGroup) else ():
        yield from _commands(below, f"{name} {word}")


def commands() -> str:
    """Every command with its help, its arguments and its options."""
    lines: list[str] = []
    for name, command in _commands(typer.main.get_command(app), "weldcache"):
        lines += [f"### {name}", "", _plain(command.help or ""), ""]
        context = typer.Context(command, info_name=name)
        for parameter in command.params:
            if record := parameter.get_help_record(context):
                lines.append(f"- `{record[0]}`: {_plain(record[1])}")
        lines.append("")
    return "\n".join(lines)


def _setting(section: type[Section], prefix: str) -> Iterator[str]:
    """A line for each setting of a section and of those that it always holds, but for what a name chooses."""
    for name, field in section.model_fields.items():
        if (inner := inner_section(field)) is not None:
            yield from _setting(inner, f"{prefix}{name}.")
        elif choices(field) is None and entry_choices(field) is None:
            default = "required" if field.is_required() else f"default `{json.dumps(field.get_default(), default=str)}`"
            yield f"- `{prefix}{name}` ({_plain(allowed(section, name))}; {default}): {_plain(field.description or '')}"


def _section(heading: str, section: type[Section], prefix: str) -> list[str]:
    summary = (section.__doc__ or "").strip()
    return [heading, "", _plain(summary), "", *_setting(section, prefix), ""]


def _chosen(registry: Registry, prefix: str) -> Iterator[str]:
    """The sections that a name chooses, one after the other."""
    for name in registry.names:
        yield from _section(f"### `{prefix}{registry.key}: {name}`", registry.section(name), prefix)


def settings() -> str:
    """Every setting, by section; where a name chooses the section, those of each name."""
    lines: list[str] = []
    for name, field in Settings.model_fields.items():
        registry = choices(field) or entry_choices(field)
        if registry is None:
            lines += _section(f"## {name}", field.annotation, f"{name}.")
            continue
        prefix = f"{name}." if choices(field) else f"{name}.NAME."
        named = listed([f"`{each}`" for each in registry.names])
        lines += [f"## {name}", "", f"{field.description} `{prefix}{registry.key}` is one of {named}.", ""]
        lines += _chosen(registry, prefix)
    return "\n".join(lines)


GENERATED: Mapping[str, Callable[[], str]] = {"api": lambda: _API, "commands": commands, "settings": settings}
"""What is put into pages, by the name that their comment has."""
