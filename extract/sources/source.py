"""A data set as stage one sees it: a source says what one of its samples is called, and lists them with their files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ...cache.status import SourceFile, source_numbers
from ...cache.targets import TargetSpec, TargetValue
from ..features.settings import Delimiter, TimeUnit

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

NOTHING: Mapping[Any, Any] = {}
"""What most samples have of most things: one for all, for a million of their own are much memory."""


def _nothing() -> Mapping[Any, Any]:
    return NOTHING


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing recorded and judged.

    A stream that the data set should have and does not is not in `files`; `absent` then says why, in words for the
    user. So every listed sample can be reported, and none is skipped in silence.
    """

    key: str  # unique in the data set
    split: Split
    group: str  # samples of one group share machine, light and day, and should not cross splits
    files: Mapping[str, tuple[Path, ...]]  # by stream, such as video, audio, image, sensor
    targets: Mapping[str, TargetValue] = field(default_factory=_nothing)  # a class by its name; left out: unknown
    attributes: Mapping[str, float | str] = field(default_factory=_nothing)  # known without any media
    absent: Mapping[str, str] = field(default_factory=_nothing)  # stream -> what is missing
    unreadable: frozenset[str] = frozenset()  # streams of `absent` for which something is there that cannot be read
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=_nothing)  # stream -> what was passed over there
    vectors: Mapping[str, tuple[float, ...]] = field(
        default_factory=_nothing
    )  # stream -> numbers, of no file alone; beside files of points: the rotation by which they are turned
    drawn_from: frozenset[Split] = frozenset()  # among which its split was drawn; none: the data set says it
    masks: Mapping[Path, Path] = field(
        default_factory=_nothing
    )  # picture -> where it is defective, as a picture; `plan` counts them

    def why_absent(self, stream: str) -> str | None:
        """What is missing of a stream, in words; None where it is there."""
        if stream in self.files or stream in self.vectors:
            return None
        return self.absent.get(stream, f"the data set has no {stream}")

    def numbers(self, stream: str) -> tuple[SourceFile, ...]:
        """The numbers of a stream as what a row is made from; nothing where the stream has none."""
        return (source_numbers(stream, self.vectors[stream]),) if stream in self.vectors else ()


@dataclass(frozen=True)
class SeriesFormat:
    """What the files of a stream of measurements hold."""

    channels: tuple[str, ...]  # names of their columns, unless `columns` has those
    limits: tuple[float, ...]  # largest magnitude of each that is taken for a measurement, in the file's units
    clock: str = "Time"  # column of times
    active: tuple[str, float] | None = None  # a channel, and above which value what is recorded goes on
    # That channel, another, and between which values the other is then: so it is told when the two were exchanged.
    exchangeable: tuple[str, str, float, float] | None = None
    signed: bool = False  # whether values below 0 are usual
    columns: tuple[str, ...] | None = None  # of the channels, where these have other names than their columns
    times: TimeUnit | None = None  # of a clock that is a number; None: it is none, or of the size of Unix time
    rate: float | None = None  # rows a second of files without a clock
    max_seconds: float = 3600.0  # of the longest recording whose times are believed
    delimiter: Delimiter = "comma"
    decimal: Literal["point", "comma"] = "point"

    @property
    def column_of(self) -> Mapping[str, str]:
        """The column of each channel."""
        return dict(zip(self.channels, self.columns or self.channels, strict=True))


@runtime_checkable
class Source(Protocol):
    """A data set on disk. One that knows its files of measurements is a `TellsSeries` too."""

    @property
    def noun(self) -> str:
        """What one sample is called in bars, tables and messages, such as `picture`; more of them end in `s`."""
        ...

    def targets(self) -> Sequence[TargetSpec]:
        """What is known of samples that a model may predict; the anomaly task knows the meaning of `label` and `class`.

        Raises as `samples`.
        """
        ...

    def samples(self) -> Sequence[Sample]:
        """All samples, in a fixed order.

        Raises:
            NotFoundError: if there is none.
            SourceError: if what lies there cannot be read or is not to be trusted; the message says where.
            SettingsError: if splits are to be drawn, and the fractions leave nothing for train or for the defects.
        """
        ...


@runtime_checkable
class TellsSeries(Protocol):
    """What a source may tell besides, so that nobody has to say it in the settings of a feature."""

    def series(self) -> Mapping[str, SeriesFormat]:
        """What files of measurements hold, by stream; of a stream that is left out, all columns of numbers are read."""
        ...


@runtime_checkable
class LooksAround(Protocol):
    """What a source has besides that takes what lies in its folder for what it is, whoever put it there."""

    def without(self, paths: frozenset[Path]) -> Source:
        """The same source, which passes over these files and folders, without a word: weldcache wrote them itself."""
        ...


PointLabeller = Callable[[NDArray[np.float64], Path], NDArray[np.int64]]
"""A whole number for each point, (points, 3), from a file of labels; -1 where it says nothing of one."""


@runtime_checkable
class LabelsPoints(Protocol):
    """What a source has besides whose files of labels are no list of one for each point, such as a grid in space."""

    def point_labellers(self) -> Mapping[str, PointLabeller]:
        """By stream of labels, what reads them, which is sent to the decode workers and raises a DecodeError where a
        file cannot be read."""
        ...


def series_told(source: Source) -> Mapping[str, SeriesFormat]:
    """What a source tells of files of measurements, by stream."""
    return source.series() if isinstance(source, TellsSeries) else {}
