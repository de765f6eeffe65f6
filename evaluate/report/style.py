"""Files that pages are made of, and the colours of the style sheet for whoever draws without it."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Literal

Scheme = Literal["light", "dark"]

_ROOT = re.compile(r":root \{(.*?)\}", re.DOTALL)
_COLOUR = re.compile(r"--(\w+): (#[0-9a-f]{6});")


def part(name: str) -> str:
    """A file that pages are made of, such as style.css."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def colours(scheme: Scheme) -> Mapping[str, str]:
    """The colours of style.css by their names, such as `ink`, each as `#rrggbb`."""
    light, dark = (dict(_COLOUR.findall(each)) for each in _ROOT.findall(part("style.css")))
    return light if scheme == "light" else {**light, **dark}
