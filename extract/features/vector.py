"""Numbers that the data set gives itself, through no decoder and no backbone."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ...cache.arrays import ArraySpec
from ...errors import DecodeError
from ..sources.source import Sample
from .kind import Prepared, StoredAsRead, StreamReader, Tools
from .settings import VectorSettings


@dataclass(frozen=True)
class VectorReader(StreamReader):
    """{"values": (size,)}, float32."""

    settings: VectorSettings
    name: str

    def files(self, sample: Sample) -> tuple[Path, ...]:
        return ()  # what is recorded of a row is its numbers: the table that they stand in says more than these

    def __call__(self, sample: Sample) -> Prepared:
        numbers = sample.vectors.get(self.stream, ())
        if len(numbers) != self.settings.size:
            raise DecodeError(
                f"{sample.key}: there are {len(numbers)} numbers in {self.stream}, and features.{self.name}.size is "
                f"{self.settings.size}. Say --set features.{self.name}.size={len(numbers)}; or, where they are columns "
                f"of a table, name others in data.vectors.{self.stream}."
            )
        values = torch.tensor(numbers, dtype=torch.float32)
        if not bool(values.isfinite().all()):
            raise DecodeError(
                f"{sample.key}: number {int((~values.isfinite()).nonzero()[0]) + 1} in {self.stream} is "
                "empty, infinite or too large for float32."
            )
        return Prepared({"values": values})


class VectorEncoder(StoredAsRead):
    """Stores the numbers as they are: scaling belongs to stage two, which knows what is normal."""

    def __init__(self, name: str, settings: VectorSettings) -> None:
        arrays = [ArraySpec("values", (settings.size,), ("dim",), "float32", distinct=False)]
        super().__init__(name, VectorReader(settings, name), arrays, decoding={"size": settings.size})


def make(name: str, settings: VectorSettings, tools: Tools) -> VectorEncoder:
    return VectorEncoder(name, settings)
