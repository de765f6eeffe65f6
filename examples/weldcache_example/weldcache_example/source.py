"""A source: `good/<day>_<number>.txt` and `faulty/...`, one text file of numbers a reading.

The kind of feature `vector` stores them: features.readings: {kind: vector, stream: readings, size: 4}.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field

from weldcache.cache.targets import TargetSpec
from weldcache.errors import NotFoundError, SourceError
from weldcache.extract.settings import DataSettings
from weldcache.extract.sources.classes import target_specs, targets_of_classes
from weldcache.extract.sources.group_split import SplitSettings, draw_splits
from weldcache.extract.sources.source import Sample


class ReadingsSettings(SplitSettings, DataSettings):
    """Text files of numbers, in good/ and in folders of faults."""

    source: Literal["readings"] = Field("readings", description="What the data set is.")


class ReadingsSource:
    Settings = ReadingsSettings
    noun = "reading"

    def __init__(self, settings: ReadingsSettings) -> None:
        self._settings = settings

    def targets(self) -> Sequence[TargetSpec]:
        return target_specs(self._samples)

    def samples(self) -> Sequence[Sample]:
        return self._samples

    @cached_property
    def _samples(self) -> Sequence[Sample]:
        settings, paths = self._settings, sorted(self._settings.root.glob("*/*.txt"))
        if not paths:
            raise NotFoundError(f"{settings.root} has no good/*.txt.")
        targets = targets_of_classes([path.parent.name for path in paths], normal=())
        samples = [
            Sample(
                key=f"{path.parent.name}/{path.stem}",
                split="train",  # until it is drawn below
                group=f"{path.parent.name}/{path.stem.partition('_')[0]}",  # readings of one day stay together
                files={"readings": (path,)},
                targets=known,
                vectors={"readings": _numbers(path)},
            )
            for path, known in zip(paths, targets, strict=True)
        ]
        return draw_splits(samples, settings)


def _numbers(path: Path) -> tuple[float, ...]:
    try:
        return tuple(map(float, path.read_text(encoding="utf-8").split()))
    except ValueError as error:
        raise SourceError(f"{path}: {error}; write numbers with blanks between them.") from None
