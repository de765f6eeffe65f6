"""What docs/command-line.md says that `--json` prints, held against what tests see printed."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "command-line.md"
_CODE = re.compile(r"`([^`]+)`")


@dataclass(frozen=True)
class Shape:
    """The fields of an object: those that are always there, patterns of those that may be, and whether others may."""

    always: frozenset[str]
    sometimes: frozenset[str]
    is_open: bool

    def unknown(self, fields: Iterable[str]) -> list[str]:
        """Those of the fields that may not be there."""
        if self.is_open:
            return []
        rest = (field for field in fields if field not in self.always)
        return [field for field in rest if not any(re.fullmatch(pattern, field) for pattern in self.sometimes)]


@cache
def documented_shapes() -> Mapping[str, Shape]:
    """The shapes by the command that prints them, with the option that makes it another one."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## JSON\n")[2].partition("\n## ")[0]
    shapes = {}
    for commands, fields, _ in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) ?\|$", section, re.MULTILINE):
        named = frozenset(_CODE.findall(fields))
        sometimes = frozenset(name for name in named if name.endswith("?"))
        patterns = frozenset(re.sub(r"<\w+>", r"\\w+", name[:-1]) for name in sometimes)
        shape = Shape(named - sometimes, patterns, fields.endswith("..."))
        shapes |= dict.fromkeys(_CODE.findall(commands), shape)
    return shapes


def check_shape(arguments: Sequence[str], printed: str) -> None:
    """Assert that a command printed one object, with the fields that the page names."""
    document = json.loads(printed)
    known = [command for command in documented_shapes() if set(command.split()) <= set(arguments)]
    shape = documented_shapes()[max(known, key=len)]
    fields = set(document) - {"schema_version"}
    assert document["schema_version"] >= 1
    assert shape.always <= fields, f"{arguments}: there is no {shape.always - fields}"
    unknown = shape.unknown(fields)
    assert not unknown, f"{arguments}: docs/command-line.md does not tell of {unknown}"
