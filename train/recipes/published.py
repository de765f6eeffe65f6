"""Figures that others published of models such as a recipe builds, by class: what reports show beside a run's own.

They are of other samples, or of the same ones divided otherwise, so that they say where a class is hard and not which
model is better. A recipe that knows some is `Referenced`; those of shipped recipes stand in `published.yaml`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol, runtime_checkable

from ...configs.plain_yaml import parse_yaml
from .recipe import Recipe


@dataclass(frozen=True)
class Reference:
    """A published figure of one class.

    Attributes:
        class_name: as data sets call it.
        metric: of what the figure is: `auroc`, of the class against all normals.
        source: where it was published, and of what.
    """

    class_name: str
    metric: str
    value: float
    source: str


@runtime_checkable
class Referenced(Protocol):
    """What a recipe has beside the others where published figures are known of models like its own."""

    @property
    def references(self) -> Sequence[Reference]:
        """The figures, at most one a class and metric."""


def references_of(recipe: Recipe) -> Sequence[Reference]:
    """What `references` says of a recipe that has it; nothing of any other."""
    return recipe.references if isinstance(recipe, Referenced) else ()


@cache
def published(recipe: str) -> tuple[Reference, ...]:
    """The figures that `published.yaml` has for a recipe by its name."""
    file = resources.files(__package__).joinpath("published.yaml")
    told = parse_yaml(file.read_text(encoding="utf-8"), origin="published.yaml")[recipe]
    return tuple(Reference(name, told["metric"], value, told["source"]) for name, value in told["by_class"].items())
