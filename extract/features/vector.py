"""Numbers that the data set gives itself, through no decoder and no backbone."""

from dataclasses import dataclass
from pathlib import Path

import torch

from ...cache.arrays import ArraySpec, oracles_among
from ...errors import DecodeError, SettingsError
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
    """Stores the numbers as they are, of settings that tell how many: scaling belongs to stage two, which knows what is
    normal."""

    def __init__(self, name: str, settings: VectorSettings) -> None:
        assert settings.size is not None
        arrays = [ArraySpec("values", (settings.size,), ("dim",), "float32", distinct=False)]
        super().__init__(name, VectorReader(settings, name), arrays, decoding={"size": settings.size})


def make(name: str, settings: VectorSettings, tools: Tools) -> VectorEncoder:
    """The kind of these settings.

    Raises:
        SettingsError: if numbers that nobody knows of a new sample get a name that does not say so, or the data set has
            none of which the size is to be told.
    """
    if oracles_among([settings.stream]) and not oracles_among([name]):
        raise SettingsError(
            f"features.{name} is made of {settings.stream}, which nobody knows of a new sample, and what a model "
            f"reaches with it is an oracle's result: call it features.{settings.stream}, or by another name that "
            "begins so."
        )
    if settings.size is None:
        found = next(
            (len(each.vectors[settings.stream]) for each in tools.source.samples() if settings.stream in each.vectors),
            0,
        )
        if not found:
            raise SettingsError(
                f"No {tools.source.noun} has numbers {settings.stream}, of which features.{name} is made and "
                f"features.{name}.size is to be told; name another stream with --set features.{name}.stream=..."
            )
        settings = settings.model_copy(update={"size": found})
    return VectorEncoder(name, settings)
