"""What is to be made: how many welds of each class in each split, how large the media are, and from which seed."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

import numpy as np

from .....errors import SettingsError
from .....wording import listed, nearest_hint
from ...synth import Size, check_mistakes
from ..classes import CLASS_NAMES, DEFECT_CODES, GOOD_CODE, class_name_of

SPLITS = ("train", "val", "test")
MAX_SESSION_WELDS = 20

SEVERITIES = (0.3, 1.0)
_PROPORTION = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")
CODE_IN_PICTURE = "code-in-picture"
MISTAKES = (
    *("duplicate", "group-in-two-parts", "val-is-test", "one-class-test", "label-in-attribute"),
    CODE_IN_PICTURE,
)
"""What can be planted for `weldcache audit` to find, see `mistakes`."""
DEFECTS_ALIKE: Mapping[str, float] = MappingProxyType(dict.fromkeys(DEFECT_CODES, 1.0))


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
    Severities of defects are drawn between the two of `severity`. `observable` writes speed and thickness into the
    sensor files. `missing` and `damage` are the shares of recordings of which no file is there, or a broken one.
    `plant` names mistakes of the data set as a whole, of `MISTAKES`.
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
    severity: tuple[float, float] = SEVERITIES
    observable: bool = False
    missing: float = 0.0
    damage: float = 0.0
    plant: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise SettingsError(f"The seed of synthetic data is {self.seed}: give a whole number of at least 0.")
        if not 1 <= self.session_welds <= MAX_SESSION_WELDS:
            raise SettingsError(
                f"session_welds is {self.session_welds}: a session holds between 1 and {MAX_SESSION_WELDS} welds."
            )
        low, high = self.severity
        if not 0 < low <= high <= 1:
            raise SettingsError(
                f"Severities are to be drawn from {low:g} to {high:g}: give two numbers above 0 and at most 1, the "
                "lower first."
            )
        if not (self.missing >= 0 <= self.damage and self.missing + self.damage <= 1):  # nor are they NaN
            raise SettingsError(
                f"missing is {self.missing:g} and damage {self.damage:g}: give shares of at least 0 that make up no "
                "more than 1 together."
            )
        check_mistakes(self.plant, known=MISTAKES)
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
        """The plan as plain JSON values, for comparison with an earlier one. Of what has a default there is only what
        differs from it, so that plans of former versions stay the same."""
        usual = {field.name: field.default for field in dataclasses.fields(self)}
        return {name: value for name, value in dataclasses.asdict(self).items() if value != usual[name]}


def class_counts(*, good: int, defects: int, mix: Mapping[str, float] = DEFECTS_ALIKE) -> dict[str, int]:
    """`good` normal welds and `defects` defective ones, spread over the classes of `mix` in its proportions, as closely
    as whole welds allow; what is left over goes to the largest remainders, in the order of the codes."""
    shares = {code: defects * weight / sum(mix.values()) for code, weight in sorted(mix.items())}
    counts = {code: int(share) for code, share in shares.items()}
    by_remainder = sorted(shares, key=lambda code: counts[code] - shares[code])
    for code in by_remainder[: defects - sum(counts.values())]:
        counts[code] += 1
    return {GOOD_CODE: good, **counts}


def parse_mix(written: str) -> dict[str, float]:
    """The proportions of classes that `burnthrough=2,porosity=1` asks for, by code; others have none.

    Raises:
        SettingsError: if it names no defect class, or a proportion that is none.
    """
    codes = {CLASS_NAMES[code]: code for code in DEFECT_CODES}
    mix: dict[str, float] = {}
    for part in written.split(","):
        name, _, weight = part.partition("=")
        code = codes.get(class_name_of(name))
        if code is None:
            hint = nearest_hint(name.strip(), codes)
            raise SettingsError(f"There is no defect class {name.strip()!r}.{hint} There are {listed(list(codes))}.")
        if not _PROPORTION.fullmatch(weight.strip()) or float(weight) == 0 or code in mix:
            raise SettingsError(
                f"{part.strip()!r}: write each class once, with a number above 0, as in burnthrough=2,porosity=1."
            )
        mix[code] = float(weight)
    return mix


def plan_for_size(
    size: Size, *, seed: int = 0, confounded: bool = False, mix: Mapping[str, float] = DEFECTS_ALIKE
) -> SynthPlan:
    """The plan behind `weldcache synth --size`: `tiny` for tests, `small` for the demo, `full` like the real data.

    `full` has the real data's 4,040 welds in the official proportions; how its defect welds spread over the classes is
    not published, so they are spread evenly, or in the proportions of `mix`, by code.
    """
    scale = _SCALES[size]
    train, val, test = (class_counts(good=good, defects=defects, mix=mix) for good, defects in scale.counts)
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
    PLANTED = 12


def stream(seed: int, *, purpose: Purpose, index: int = 0) -> np.random.Generator:
    """The generator for one purpose and one weld (or session) of the data set made from `seed`.

    Streams are independent, so that any weld can be made alone, in any process, alike.

    Sources: `numpy.random.SeedSequence` with a spawn key, the tree that NumPy documents for parallel streams.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), index)))
