"""A source: `good/<day>_<number>.txt` and `faulty/...`, one text file of numbers a reading."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from weldcache.errors import NotFoundError
from weldcache.extract.settings import DataSettings
from weldcache.extract.sources.classes import ClassSource, targets_of_classes
from weldcache.extract.sources.group_split import SplitSettings, draw_splits
from weldcache.extract.sources.source import Sample


class ReadingsSettings(SplitSettings, DataSettings):
    """Text files of numbers, in good/ and in folders of faults."""

    source: Literal["readings"] = Field("readings", description="What the data set is.")


class ReadingsSource(ClassSource):
    Settings = ReadingsSettings
    noun = "reading"

    def __init__(self, settings: ReadingsSettings) -> None:
        self._settings = settings

    def list_samples(self) -> Sequence[Sample]:
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
            )
            for path, known in zip(paths, targets, strict=True)
        ]
        return draw_splits(samples, settings)
