"""A data set as stage one sees it: a source says what one of its samples is called, and lists them with their files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from ...cache.targets import TargetSpec, TargetValue

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Sample:
    """One thing recorded and judged.

    A recording that the data set should have and does not is not in `files`; `absent` then says why, in words for the
    user. So every listed sample can be reported, and none is skipped in silence.
    """

    key: str  # unique in the data set
    split: Split
    group: str  # samples of one group share machine, light and day, and should not cross splits
    files: Mapping[str, tuple[Path, ...]]  # by stream, such as video, audio, image, sensor
    targets: Mapping[str, TargetValue] = field(default_factory=dict)  # a class by its name; left out: unknown
    attributes: Mapping[str, float | str] = field(default_factory=dict)  # known without any media
    absent: Mapping[str, str] = field(default_factory=dict)  # stream -> what is missing
    unreadable: frozenset[str] = frozenset()  # streams of `absent` for which something is there that cannot be read
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # stream -> what was passed over there
    vectors: Mapping[str, tuple[float, ...]] = field(default_factory=dict)  # stream -> numbers, of the file in `files`
    masks: Mapping[Path, Path] = field(default_factory=dict)  # picture -> where it is defective, as a picture

    def why_absent(self, stream: str) -> str | None:
        """What is missing of a stream, in words; None where it is there."""
        if stream in self.files or stream in self.vectors:
            return None
        return self.absent.get(stream, f"the data set has no {stream}")


@runtime_checkable
class Source(Protocol):
    """A data set on disk."""

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
        """All samples, in a fixed order."""
        ...
