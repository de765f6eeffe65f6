"""A kind of feature: what the numbers of a text file amount to, however many there are."""

from typing import Literal

import torch
from pydantic import Field

from weldcache.cache.arrays import ArraySpec
from weldcache.errors import DecodeError
from weldcache.extract.features.kind import Prepared, StoredAsRead, StreamReader, Tools
from weldcache.extract.features.settings import StreamSettings
from weldcache.extract.sources.source import Sample

STATISTICS = ("mean", "deviation", "least", "largest")


class StatisticsSettings(StreamSettings):
    """Mean, standard deviation, least and largest of the numbers in a text file."""

    kind: Literal["statistics"] = Field("statistics", description="What makes the feature, and from what.")
    stream: str = Field("readings", description="Text files of a sample that it is made from.")


class StatisticsReader(StreamReader):
    """{"values": (4,)}. It is sent to the decode workers, so it holds its settings alone."""

    def __call__(self, sample: Sample) -> Prepared:
        (path,) = sample.files[self.stream]
        try:
            numbers = torch.tensor([float(word) for word in path.read_text(encoding="utf-8").split()])
        except ValueError as error:
            raise DecodeError(f"{path}: {error}; write numbers with blanks between them.") from None
        if len(numbers) < 2 or not numbers.isfinite().all():
            raise DecodeError(f"{path}: holds {len(numbers)} numbers; two are needed, and none infinite.")
        return Prepared({"values": torch.stack([numbers.mean(), numbers.std(), numbers.min(), numbers.max()])})


class StatisticsEncoder(StoredAsRead):
    """Stored as they are read; a kind with a backbone has `encode` instead, for several samples at once."""

    Settings = StatisticsSettings

    def __init__(self, name: str, settings: StatisticsSettings, tools: Tools) -> None:
        values = ArraySpec("values", (len(STATISTICS),), ("statistic",), "float32", distinct=False)
        super().__init__(name, StatisticsReader(settings), [values], decoding={"statistics": list(STATISTICS)})
