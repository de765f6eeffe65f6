"""`weldcache new`: a package with a source, a recipe or a judge that works, and whose test keeps it to the contract."""

import keyword
import re
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FunctionLoader, StrictUndefined

from .. import skeletons
from ..atomic import new_folder
from ..errors import OutputExistsError, SettingsError
from ..evaluate.settings import JUDGES
from ..extract.settings import SOURCES
from ..train.settings import RECIPES

Kind = Literal["source", "recipe", "judge"]

_REGISTRIES = {
    "source": (SOURCES, "data.source"),
    "recipe": (RECIPES, "recipe.name"),
    "judge": (JUDGES, "evaluate.judge"),
}


@dataclass(frozen=True)
class Skeleton:
    """A package that was written.

    Attributes:
        folder: where.
        setting: what chooses the new thing by its name, once the package is installed.
    """

    folder: Path
    kind: Kind
    name: str
    setting: str

    @property
    def told(self) -> str:
        """What it is, and the commands that come next."""
        return (
            f"{self.folder}: a {self.kind} that works, and its test. Make it yours:\n"
            f"  pip install -e {self.folder}\n"
            f"  pytest {self.folder}\n"
            f"Then --set {self.setting}={self.name} chooses it."
        )


def write_skeleton(kind: Kind, name: str, *, parent: Path) -> Skeleton:
    """Write the package `name` into a new folder of that name below `parent`.

    Raises:
        SettingsError: if no package can be called so, or something is already.
        OutputExistsError: if there is such a folder.
    """
    registry, setting = _REGISTRIES[kind]
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,99}", name) or keyword.iskeyword(name):
        raise SettingsError(f"{name!a} is no name of a {kind}: write it in lower-case letters, digits and underscores.")
    if name in registry.names:
        raise SettingsError(f"There is a {kind} {name} already; choose another name.")
    folder = parent / name
    if folder.exists():
        raise OutputExistsError(f"{folder} is there already; choose another name, or move it away.")
    if find_spec(name) is not None:
        raise SettingsError(f"A module {name} is installed already, which would be hidden; choose another name.")
    title = name.removesuffix(f"_{kind}").title().replace("_", "")
    known = {"name": name, "kind": kind, "title": title, "setting": setting}
    with new_folder(folder) as unfinished:
        for path, template in _files(kind, name).items():
            (unfinished / path).parent.mkdir(parents=True, exist_ok=True)
            (unfinished / path).write_text(_environment().get_template(template).render(known), encoding="utf-8")
    return Skeleton(folder, kind, name, setting)


def _files(kind: Kind, name: str) -> dict[str, str]:
    """The files of a package, and the templates that they are made of."""
    return {
        "pyproject.toml": "pyproject.toml.jinja",
        f"{name}/__init__.py": "init.py.jinja",
        f"{name}/{kind}.py": f"{kind}.py.jinja",
        f"tests/test_{kind}.py": f"test_{kind}.py.jinja",
    }


def _environment() -> Environment:
    def text(name: str) -> str:
        return resources.files(skeletons).joinpath(name).read_text(encoding="utf-8")

    return Environment(loader=FunctionLoader(text), undefined=StrictUndefined, keep_trailing_newline=True)
