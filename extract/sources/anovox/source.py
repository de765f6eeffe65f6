"""AnoVox as a source: a sample is a frame, its group is its scenario, and its label follows from what it shows."""

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import ClassVar, Literal

from ....cache.targets import DEFECT, LABEL, NORMAL, TargetSpec, TargetValue
from ....errors import DecodeError, SourceError
from ....progress import Progress, say
from ....wording import count_of, shortened
from ..classes import GOOD
from ..group_split import Drawn, check_fractions, split_groups
from ..source import PointLabeller, Sample
from .labels import anomalous_among, is_alive, read_sheet, semantic_pixels, semantic_points, voxel_labels
from .scenarios import Scenario, find_scenarios
from .settings import ANOMALOUS, AnoVoxSettings

_NORMAL = "normal"
_SEEN_BY = ("nothing", "camera", "lidar", "both")
_STREAMS = ("image", "points", "semantic_points", "voxels")
_MOST_THREADS = 8
_MOST_KEPT = 100_000  # files whose counts are kept in memory
_SHOWN = 3


@dataclass(frozen=True)
class _Seen:
    """How many pixels and points of a frame are of each anomalous id; None where nothing says."""

    pixels: Mapping[int, int] | None
    points: Mapping[int, int] | None
    alive: bool | None


@dataclass(frozen=True)
class AnoVoxSource:
    """One sample a frame, in the order of scenarios and ticks; scenarios are dealt to the parts of the split whole."""

    Settings: ClassVar[type[AnoVoxSettings]] = AnoVoxSettings
    noun: ClassVar[str] = "frame"
    settings: AnoVoxSettings

    def samples(self) -> Sequence[Sample]:
        return self._listed

    def targets(self) -> Sequence[TargetSpec]:
        names = sorted({str(each.targets["class"]) for each in self._listed if "class" in each.targets} - {_NORMAL})
        return (
            LABEL,
            TargetSpec("class", "int8", classes=(_NORMAL, *names)),
            TargetSpec("seen_by", "int8", classes=_SEEN_BY),
            TargetSpec("alive", "int8", classes=("no", "yes")),
        )

    def point_labellers(self) -> Mapping[str, PointLabeller]:
        """A point of the lidar has the id of the voxel in which it lies."""
        return {"voxels": voxel_labels}

    @cached_property
    def _listed(self) -> Sequence[Sample]:
        settings = self.settings
        check_fractions(settings.val_fraction, settings.test_fraction)
        scenarios = find_scenarios(settings.root, refuse_incomplete=settings.incomplete == "refuse")
        frames = [(scenario, tick) for scenario in scenarios for tick in scenario.ticks]
        with (
            Progress("labels", total=len(frames), unit="frames") as progress,
            ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1)) as pool,
        ):
            seen = []
            for each in pool.map(lambda frame: _look_at(*frame, anomalous=settings.anomalous), frames):
                seen.append(each)
                progress.advance()
        samples = [self._sample(scenario, tick, each) for (scenario, tick), each in zip(frames, seen, strict=True)]
        self._tell(samples, seen)
        say(f"Scenarios are dealt to train, val and test with data.split_seed = {settings.split_seed}.")
        return self._dealt(samples)

    def _sample(self, scenario: Scenario, tick: int, seen: _Seen) -> Sample:
        ticks = scenario.ticks
        files, absent = dict[str, tuple[Path, ...]](), dict[str, str]()
        for stream in _STREAMS:
            if stream not in scenario.files:
                continue
            found = tuple(path for path in scenario.files[stream].get(tick, ()) if path.stat().st_size)
            if found:
                files[stream] = found
            else:
                absent[stream] = f"{scenario.name} has no file of {stream} of the frame {tick}"
        return Sample(
            key=f"{scenario.name}/{tick}",
            split="train",  # until it is dealt
            group=scenario.name,
            files=files,
            targets=_targets_of(seen, visible_to=self.settings.visible_to),
            attributes={"progress": ticks.index(tick) / max(1, len(ticks) - 1)},
            absent=absent,
        )

    def _tell(self, samples: Sequence[Sample], seen: Sequence[_Seen]) -> None:
        hidden = [
            sample.key
            for sample, each in zip(samples, seen, strict=True)
            if each.alive and sample.targets.get("label") == NORMAL
        ]
        if hidden:
            say(f"Alive and not to be seen in {count_of(len(hidden), 'frame')}, which count as normal.")
        unknown = [sample.key for sample in samples if "label" not in sample.targets]
        if unknown:
            say(
                f"Nothing says what {count_of(len(unknown), 'frame')} show{'s' if len(unknown) == 1 else ''} "
                f"({shortened(unknown, most=_SHOWN)}): neither semantic pixels nor points."
            )

    def _dealt(self, samples: Sequence[Sample]) -> list[Sample]:
        """Whole scenarios into the parts; those with an anomaly and those without each by themselves, as both are
        learned from and judged."""
        settings = self.settings
        has_anomaly = {sample.group: False for sample in samples}
        for sample in samples:
            has_anomaly[sample.group] |= sample.targets.get("label") == DEFECT
        drawn = dict[str, Drawn]()
        for kind in (False, True):
            drawn |= split_groups(
                {group: frozenset({GOOD}) for group, has in has_anomaly.items() if has == kind},
                normal=GOOD,
                val_fraction=settings.val_fraction,
                test_fraction=settings.test_fraction,
                seed=settings.split_seed,
            )
        return [
            replace(sample, split=drawn[sample.group].part, drawn_from=drawn[sample.group].parts) for sample in samples
        ]


def _look_at(scenario: Scenario, tick: int, *, anomalous: Sequence[int]) -> _Seen:
    """Read what the frame says of itself; raises SourceError where a file of it cannot be read."""
    pixels = _whole(scenario, "semantic_image", tick)
    clouds = _whole(scenario, "semantic_points", tick) or _whole(scenario, "voxels", tick)
    sheets = [read_sheet(path) for path in _whole(scenario, "anomaly", tick)]
    told = [alive for alive in map(is_alive, sheets) if alive is not None]
    return _Seen(
        pixels=_counted(_in_pixels, pixels, anomalous) if pixels else None,
        points=_counted(_in_points, clouds, anomalous) if clouds else None,
        alive=any(told) if told else None,
    )


def _counted(
    count: Callable[[Path, int, tuple[int, ...]], Mapping[int, int]], paths: Sequence[Path], anomalous: Sequence[int]
) -> Mapping[int, int]:
    counts = Counter[int]()
    for path in paths:
        counts.update(count(path, path.stat().st_mtime_ns, tuple(anomalous)))
    return counts


# A command opens its data set several times, and these files are most of what is read of it.
@lru_cache(maxsize=_MOST_KEPT)
def _in_pixels(path: Path, changed: int, anomalous: tuple[int, ...]) -> Mapping[int, int]:
    return anomalous_among(semantic_pixels(path), anomalous)


@lru_cache(maxsize=_MOST_KEPT)
def _in_points(path: Path, changed: int, anomalous: tuple[int, ...]) -> Mapping[int, int]:
    try:
        return anomalous_among(semantic_points(path)[:, 3], anomalous)
    except DecodeError as error:
        raise SourceError(f"{error} Copy it again.") from None


def _whole(scenario: Scenario, stream: str, tick: int) -> tuple[Path, ...]:
    return tuple(path for path in scenario.files.get(stream, {}).get(tick, ()) if path.stat().st_size)


def _targets_of(seen: _Seen, *, visible_to: Literal["any", "camera", "lidar"]) -> dict[str, TargetValue]:
    """What is known of a frame; that it is normal only where every sensor asked for says so."""
    targets: dict[str, TargetValue] = {} if seen.alive is None else {"alive": int(seen.alive)}
    told = {"camera": seen.pixels, "lidar": seen.points}
    asked = [each for sensor, each in told.items() if visible_to in ("any", sensor) and each is not None]
    if not asked:
        return targets
    counts = Counter[int]()
    for each in asked:
        counts.update(each)
    sensors = [sensor for sensor, each in told.items() if each]
    if seen.pixels is not None and seen.points is not None:
        targets["seen_by"] = "both" if len(sensors) == 2 else sensors[0] if sensors else "nothing"
    if not counts:
        return targets | {"label": NORMAL, "class": _NORMAL}
    most = counts.most_common(1)[0][0]
    return targets | {"label": DEFECT, "class": ANOMALOUS.get(most, f"id {most}")}
