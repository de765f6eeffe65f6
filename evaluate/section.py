"""A section of a report: made once by a judge, and shown by renderers that know no section.

Figures are kept at full precision under names that stay, so that programs find them again; how they are rounded for
people is said beside them. A picture is what is to be drawn, not how.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..metrics.estimate import Estimate
from ..wording import from_to, listed
from .exhibits import Circle, Exhibit, SampleBook

Value = Estimate | float | int | str | None

Look = Literal["card", "headline", "verdict", "tiles", "folded"]
"""How much room a section takes: one among others; the first fact large and the others beside it; coloured by its
standing; every fact a tile of its own; closed until somebody opens it."""

Standing = Literal["good", "doubtful", "bad"]
"""How far a result can be relied on."""

Tone = Literal["model", "contrast", "control", "third", "fourth"]
"""What a colour says: the model itself, what is held against it, and further ones."""


@dataclass(frozen=True)
class Fact:
    """A figure with its name.

    Attributes:
        id: for programs; unique in its section, and not changed for the sake of style.
        label: for people; None where the figure is for programs alone.
        style: how a number is written, as Python formats it.
        note: what belongs beside it, such as its chance level, or why there is none.
    """

    id: str
    label: str | None
    value: Value
    style: str = ".3f"
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column of a table: `id`, `label` and `style` as of a fact; `of_text` where it holds no numbers."""

    id: str
    label: str | None
    style: str = ".3f"
    of_text: bool = False


@dataclass(frozen=True)
class Rows:
    """A table: each row has one value a column; of `detail`, it is left out where there is little room unless somebody
    asks for it."""

    id: str
    columns: Sequence[Column]
    values: Sequence[Sequence[Value]]
    title: str = ""
    detail: bool = False

    @property
    def shown(self) -> Sequence[Column]:
        """The columns that are for people."""
        return [column for column in self.columns if column.label is not None]

    @property
    def cells(self) -> Sequence[Sequence[str]]:
        """What people read in those columns, row by row."""
        return [
            [cell(value, column.style) for column, value in zip(self.columns, row, strict=True) if column in self.shown]
            for row in self.values
        ]


@dataclass(frozen=True)
class Intervals:
    """Estimates below each other, each a dot on its interval; `chance` is marked.

    Attributes:
        marks: a further value of each row, None where it has none; empty where no row has one.
        mark_name: what these are.
    """

    description: str
    axis: str
    rows: Sequence[tuple[str, Estimate, Tone]]
    chance: float = 0.5
    caption: str = ""
    narrow: bool = False
    marks: Sequence[float | None] = ()
    mark_name: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a panel, with a band from `low` to `high` where these are given."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    tone: Tone
    label: str = ""
    low: NDArray[np.float64] | None = None
    high: NDArray[np.float64] | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines over one axis.

    Attributes:
        kind: `shares` are steps in the unit square above the diagonal of chance, `unit` steps in the unit square
            without it, `promise` lines there that should be the diagonal; the others run freely, from zero or on a
            logarithmic axis.
        chance: a height to be marked as what chance gives; None where there is none.
    """

    axis: str
    curves: Sequence[Curve]
    kind: Literal["free", "from_zero", "logarithmic", "shares", "unit", "promise"] = "free"
    chance: float | None = None


@dataclass(frozen=True, eq=False)
class Curves:
    """Panels below each other with one horizontal axis, on which `mark` is a place to be marked."""

    description: str
    axis: str
    panels: Sequence[Panel]
    mark: float | int | None = None
    caption: str = ""

    @property
    def narrow(self) -> bool:
        """Whether another figure has room beside it."""
        return self.panels[0].kind in ("shares", "unit", "promise")


@dataclass(frozen=True, eq=False)
class Group:
    """Values of some samples under one name."""

    label: str
    values: NDArray[np.float64]
    tone: Tone


@dataclass(frozen=True, eq=False)
class Spreads:
    """How the values of groups spread: as histograms over one another, or as boxes below each other.

    Attributes:
        mark: a place on the axis; in histograms with its name.
        share: what the bars of histograms add up to in each group.
    """

    description: str
    axis: str
    groups: Sequence[Group]
    shape: Literal["histograms", "boxes"]
    mark: float | int | None = None
    mark_name: str = ""
    share: str = ""
    caption: str = ""

    @property
    def narrow(self) -> bool:
        """Whether another figure has room beside it."""
        return self.shape == "histograms"


@dataclass(frozen=True, eq=False)
class Circles:
    """Densities of angles of several samples, each on a circle of its own."""

    description: str
    circles: Sequence[Circle]
    caption: str = ""
    narrow: bool = False


Figure = Intervals | Curves | Spreads | Circles


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a report.

    Attributes:
        id: for programs; unique in the report.
        title: a heading, or of a verdict what it comes to.
        note: paragraphs.
        points: sentences of equal standing, such as warnings.
        exhibits: what it shows of single samples; for people alone, as programs find these in files of their own.
        standing: of a verdict.
        brief: whether it is shown where there is little room, such as a terminal.
    """

    id: str
    title: str
    facts: Sequence[Fact] = ()
    rows: Sequence[Rows] = ()
    figures: Sequence[Figure] = ()
    note: Sequence[str] = ()
    points: Sequence[str] = ()
    exhibits: Sequence[Exhibit] = ()
    look: Look = "card"
    standing: Standing | None = None
    brief: bool = False

    @property
    def shown(self) -> Sequence[Fact]:
        """The facts that are for people."""
        return [fact for fact in self.facts if fact.label is not None]


@dataclass(frozen=True)
class Provenance:
    """What was evaluated, made by what.

    Attributes:
        run_name: folder name of the run.
        split: the split that was scored.
        created: time of the evaluation, ISO 8601 with its offset from UTC.
        command: the command line that made the report.
        seed: that the run was trained with.
        fingerprint: of the features that the run was trained on, of all that the store holds.
        settings: resolved settings as JSON values: sections of named values.
        versions: library versions by name.
        random_features: those that backbones with random weights made, as in a demo: of them the numbers say nothing.
        trained_features: those that trained ones made.
        weights: whose scores they are: the moving average of those that were trained, or such as were fitted.
        oracles: feature sets that the run read of which nobody knows anything of a new sample.
    """

    run_name: str
    split: str
    created: str
    command: str
    seed: int
    fingerprint: str
    settings: Mapping[str, object]
    versions: Mapping[str, str]
    random_features: Sequence[str]
    trained_features: Sequence[str]
    weights: Literal["ema", "fitted"]
    oracles: Sequence[str] = ()

    @property
    def title(self) -> str:
        """The run's name, and that it is an oracle's result where it is one."""
        return f"{self.run_name}, an oracle told {listed(self.oracles)}" if self.oracles else self.run_name


def demo_sentence(random_features: Sequence[str], trained_features: Sequence[str]) -> str:
    """What is to be kept in mind where random weights made features; empty where they made none."""
    if not random_features:
        return ""
    if not trained_features:
        return (
            "Demo with random-weight backbones: the features come from untrained networks. The numbers show that the "
            "pipeline works, not what the method can do."
        )
    return (
        f"Partly a demo with random-weight backbones: {listed(random_features)} come from untrained networks, "
        f"{listed(trained_features)} from trained ones. The numbers do not show what the method can do."
    )


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that is written of one evaluation, whatever it judges; `book` is what its samples look like."""

    task: str
    provenance: Provenance
    sections: Sequence[Section] = field(default=())
    book: SampleBook = field(default_factory=SampleBook)


def number(value: Value, style: str) -> str:
    """A value without its interval, as people read it; "none" for what could not be had."""
    if value is None:
        return "none"
    if isinstance(value, Estimate):
        value = value.value
    return value if isinstance(value, str) else str(value) if isinstance(value, int) else format(value, style)


def interval(value: Value, style: str) -> str:
    """The interval of a value; "" where it has none."""
    return from_to(value.low, value.high, style) if isinstance(value, Estimate) else ""


def cell(value: Value, style: str) -> str:
    """A value with its interval behind it; "" for nothing, as in a table."""
    found, spread = number(value, style), interval(value, style)
    return "" if value is None else f"{found} ({spread})" if spread else found
