"""A data set as stage one sees it: a list of samples, each with its files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

# A modality whose recording is another's: the film, as single frames.
_RECORDED_AS: Mapping[str, str] = {"frames": "video"}


@dataclass(frozen=True)
class Sample:
    """One recording.

    A recording that the data set should have and does not is not in `files`; `absent` then says why, in words for the
    user. So every listed sample can be reported, and none is skipped in silence.
    """

    key: str  # unique in the data set
    split: Split
    class_name: str
    session: str  # recordings of one session share machine, light and day, and should not cross splits
    label: int  # 0 normal, 1 defect
    files: Mapping[str, tuple[Path, ...]]  # by what was recorded: video, audio, image, sensor
    absent: Mapping[str, str] = field(default_factory=dict)  # the same -> what is missing
    attributes: Mapping[str, float | str] = field(default_factory=dict)  # settings known without any media
    masks: Mapping[Path, Path] = field(default_factory=dict)  # photograph -> its defect mask
    unreadable: frozenset[str] = frozenset()  # those of `absent` for which something is there that cannot be read
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # as `files` -> what was passed over there

    def why_absent(self, modality: str) -> str | None:
        """What is missing that `modality` is read from, in words; None where it is there."""
        return self.absent.get(_RECORDED_AS.get(modality, modality))

    def is_unreadable(self, modality: str) -> bool:
        """Whether what `modality` is read from is there and known not to be readable before it is opened."""
        return _RECORDED_AS.get(modality, modality) in self.unreadable

    def notes_of(self, modality: str) -> tuple[str, ...]:
        """What was passed over where the files of `modality` lie, in words."""
        return self.notes.get(_RECORDED_AS.get(modality, modality), ())


@runtime_checkable
class Source(Protocol):
    """A data set on disk."""

    def samples(self) -> Sequence[Sample]:
        """All samples, in a fixed order."""
        ...
