"""What a report shows of single samples: their table, pictures and curves of some, a map of all, a threshold to move.

A judge says which samples are worth seeing, by their place in the table of scores that it judged; what a sample looks
like is read by `sample_media.py` and stands beside the sections in the report's `SampleBook`. Renderers know these
shapes alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """A picture as the bytes of a file that browsers show.

    Attributes:
        description: what it shows, for who cannot see it.
        caption: stands below it.
        overlay: the bytes of a translucent picture of the same shape that can be laid over it; empty for none.
    """

    content: bytes
    width: int
    height: int
    description: str
    caption: str = ""
    overlay: bytes = b""


@dataclass(frozen=True, eq=False)
class Trace:
    """One channel over time, with the band in which most training normals lie, where that is known."""

    name: str
    values: Float64[np.ndarray, " steps"]
    low: Float64[np.ndarray, " steps"] | None = None
    high: Float64[np.ndarray, " steps"] | None = None


@dataclass(frozen=True, eq=False)
class Traces:
    """Channels over `seconds` from the start, each on an axis of its own."""

    description: str
    seconds: float
    traces: Sequence[Trace]
    caption: str = ""


@dataclass(frozen=True, eq=False)
class Circle:
    """Densities over a circle, in equal steps from the right anticlockwise, by tone and name."""

    label: str
    densities: Sequence[tuple[Literal["model", "contrast"], str, NDArray[np.float64]]]


Medium = Picture | Traces | Circle


@dataclass(frozen=True, eq=False)
class Panel:
    """What one sample looks like: its media by the name of the stream, and in words what cannot be shown."""

    media: Mapping[str, Sequence[Medium]] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Shelf:
    """Samples that are worth seeing together, the most telling first; `rows` are places in the table of samples."""

    title: str
    rows: Sequence[int]
    note: str = ""


@dataclass(frozen=True)
class Gallery:
    """Shelves of samples, each shown by its panel; `media` is what the judge itself has to show there, by place in the
    table and by name."""

    shelves: Sequence[Shelf]
    media: Mapping[int, Mapping[str, Sequence[Medium]]] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleColumn:
    """A column of the table of samples: `style` as of a fact, None where it holds text; `choice` where readers pick one
    of its values to see those samples alone."""

    id: str
    label: str
    style: str | None = None
    choice: bool = False


@dataclass(frozen=True)
class SampleTable:
    """All judged samples, one a row, or what else `noun` says; the first column names each. Readers sort it, filter it
    and open panels."""

    columns: Sequence[SampleColumn]
    values: Sequence[Sequence[float | int | str | None]]
    noun: str = "sample"

    @property
    def names(self) -> list[str]:
        """What each sample is called."""
        return [str(row[0]) for row in self.values]

    def column(self, name: str) -> list[float | int | str | None]:
        """The values of one column."""
        place = [column.id for column in self.columns].index(name)
        return [row[place] for row in self.values]


@dataclass(frozen=True, eq=False)
class ThresholdSlider:
    """A threshold that readers move, to see what would be found and what would alarm for nothing.

    Attributes:
        chosen: where the run's own threshold is.
        scores: of all judged samples.
        is_defect: which of them should raise an alarm.
        class_names: what each is.
    """

    chosen: float
    scores: NDArray[np.float64]
    is_defect: NDArray[np.bool_]
    class_names: Sequence[str]


@dataclass(frozen=True)
class Colouring:
    """By what the dots of a scatter are coloured: names, or numbers from low to high; `names` is a column's label."""

    label: str
    values: Sequence[str] | Sequence[float]


@dataclass(frozen=True, eq=False)
class Scatter:
    """Every judged sample as a dot, in a plane."""

    description: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colourings: Sequence[Colouring]
    caption: str = ""


Exhibit = Gallery | SampleTable | ThresholdSlider | Scatter


@dataclass(frozen=True, eq=False)
class SampleBook:
    """What each sample looks like, by its place in the table of samples: a panel of some, a small picture of most."""

    panels: Mapping[int, Panel] = field(default_factory=dict)
    thumbnails: Mapping[int, Picture] = field(default_factory=dict)
