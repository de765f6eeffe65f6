"""A section of a report: made once by a judge, and shown by renderers that know no section.

Figures are kept at full precision under names that stay, so that programs find them again; how they are rounded for
people is said beside them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..metrics.estimate import Estimate
from ..wording import from_to, listed
from .exhibits import Exhibit, SampleBook
from .figures import Figure

_SHORT = 5  # characters: a count, or a figure of three decimals

Value = Estimate | float | int | str | None

Look = Literal["card", "headline", "verdict", "tiles", "folded"]
"""How much room a section takes: one among others; the first fact large and the others beside it; coloured by its
standing; every fact a tile of its own; closed until somebody opens it."""

Standing = Literal["good", "doubtful", "bad"]
"""How far a result can be relied on."""


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

    @property
    def has_short_numbers(self) -> bool:
        """Whether no number is longer than a count, so that headings that stand upright spare room."""
        kinds = [column.of_text for column in self.shown]
        return all(
            len(text) <= _SHORT for row in self.cells for text, of_text in zip(row, kinds, strict=True) if not of_text
        )


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
    if isinstance(value, int):
        return format(value, style if style == "," else "d")  # a count has no decimals, whatever those beside it have
    return value if isinstance(value, str) else format(value, style)


def interval(value: Value, style: str) -> str:
    """The interval of a value; "" where it has none."""
    return from_to(value.low, value.high, style) if isinstance(value, Estimate) else ""


def cell(value: Value, style: str) -> str:
    """A value with its interval behind it; "" for nothing, as in a table."""
    found, spread = number(value, style), interval(value, style)
    return "" if value is None else f"{found} ({spread})" if spread else found
