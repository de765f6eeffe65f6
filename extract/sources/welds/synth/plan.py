"""What is to be made: how many welds of each class in each split, how large the media are, and from which seed."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Literal

import numpy as np

from .....errors import SettingsError
from ..classes import CLASS_NAMES, DEFECT_CODES, GOOD_CODE

SPLITS = ("train", "val", "test")
MAX_SESSION_WELDS = 20

Size = Literal["tiny", "small", "full"]


@dataclass(frozen=True)
class MediaSize:
    """Sizes of the files of one weld: pictures in pixels, recordings in seconds."""

    frame_width: int
    frame_height: int
    photograph_width: int
    photograph_height: int
    min_seconds: float
    max_seconds: float

    @property
    def typical_seconds(self) -> float:
        """Middle of the range of recording lengths."""
        return (self.min_seconds + self.max_seconds) / 2


@dataclass(frozen=True)
class SynthPlan:
    """Everything that decides what `generate` writes. Equal plans make equal data, whatever the number of workers.

    `train`, `val` and `test` map class codes (`"00"` is good) to numbers of welds; `class_counts` makes such mappings.
    """

    size: Size
    seed: int
    confounded: bool
    train: Mapping[str, int]
    val: Mapping[str, int]
    test: Mapping[str, int]
    media: MediaSize
    session_welds: int
    duplicate_runs: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"The seed of synthetic data is {self.seed}: give a whole number of at least 0.")
        if not 1 <= self.session_welds <= MAX_SESSION_WELDS:
            raise SettingsError(
                f"session_welds is {self.session_welds}: a session holds between 1 and {MAX_SESSION_WELDS} welds."
            )
        for split in SPLITS:
            for code, number in self.counts(split).items():
                if code not in CLASS_NAMES or number < 0:
                    raise SettingsError(
                        f"The plan asks for {number} welds of class {code!r} in {split}: classes are "
                        f"{', '.join(CLASS_NAMES)}, and numbers are at least 0."
                    )

    def counts(self, split: str) -> Mapping[str, int]:
        """Welds of each class code in `split`."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]

    @property
    def num_welds(self) -> int:
        """Welds in all splits together."""
        return sum(sum(self.counts(split).values()) for split in SPLITS)

    def to_json(self) -> dict[str, object]:
        """The plan as plain JSON values, for `synth.json` and for comparison with an earlier plan."""
        return dataclasses.asdict(self)


def class_counts(*, good: int, defects: int) -> dict[str, int]:
    """`good` normal welds and `defects` defective ones, spread over the eleven defect classes as evenly as possible."""
    share, rest = divmod(defects, len(DEFECT_CODES))
    return {GOOD_CODE: good, **{code: share + (place < rest) for place, code in enumerate(DEFECT_CODES)}}


def plan_for_size(size: Size, *, seed: int = 0, confounded: bool = False) -> SynthPlan:
    """The plan behind `weldcache synth --size`: `tiny` for tests, `small` for the demo, `full` like the real data.

    `full` has the real data's 4,040 welds in the official proportions; how its defect welds spread over the classes is
    not published, so they are spread evenly.
    """
    scale = _SCALES[size]
    train, val, test = (class_counts(good=good, defects=defects) for good, defects in scale.counts)
    return SynthPlan(
        size=size,
        seed=seed,
        confounded=confounded,
        train=train,
        val=val,
        test=test,
        media=scale.media,
        session_welds=scale.session_welds,
        duplicate_runs=scale.duplicate_runs,
    )


@dataclass(frozen=True)
class _Scale:
    """What a size stands for; `counts` holds good and defective welds of train, val and test."""

    media: MediaSize
    counts: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    session_welds: int
    duplicate_runs: int


_SCALES: Mapping[Size, _Scale] = MappingProxyType(
    {
        "tiny": _Scale(MediaSize(128, 80, 240, 108, 1.6, 2.4), ((8, 0), (4, 11), (4, 11)), 8, 0),
        "small": _Scale(MediaSize(192, 120, 500, 225, 4.0, 7.0), ((160, 0), (60, 66), (60, 110)), 12, 3),
        "full": _Scale(MediaSize(960, 600, 2000, 900, 21.0, 43.0), ((576, 0), (122, 1610), (121, 1611)), 17, 20),
    }
)


class Purpose(IntEnum):
    """What a stream is for. The numbers are part of the data's identity: never renumber them, only add."""

    ROSTER = 0
    SESSION = 1
    RECORDING = 2
    NORMAL_STATE = 3
    DEFECT_STATE = 4
    SENSORS = 5
    AUDIO = 6
    VIDEO = 7
    PHOTOGRAPHS = 8
    SEAM = 9
    SEAM_DEFECTS = 10
    OTHER_NORMAL_STATE = 11


def stream(seed: int, *, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose and one weld (or session) of the data set made from `seed`.

    Streams are independent, so that any weld can be made alone, in any process, alike.

    Sources: `numpy.random.SeedSequence` with a spawn key, the tree that NumPy documents for parallel streams.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))
