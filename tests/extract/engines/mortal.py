"""A kind of feature whose encoder is slow, cannot be loaded, or ends its process, as its settings say. It is installed
by the tests alone; what it stores is what the kind `pixels` does, whatever happened.
"""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from weldcache.errors import BackboneError
from weldcache.extract.features.kind import Features, Prepared, Tools
from weldcache.extract.features.pixels import PixelsEncoder, PixelsReader
from weldcache.extract.features.settings import PixelsSettings
from weldcache.extract.sources.source import Sample


class MortalSettings(PixelsSettings):
    kind: Literal["mortal"] = Field("mortal", description="Pixels, by an encoder that may fail.")
    killed_by: str = Field("", description="Text in the key of the samples that end the process.")
    once: str = Field("", description="A file that the process makes before it ends; then nothing ends it any more.")
    seconds: float = Field(0.0, description="That each sample takes.")
    lacks_weights: bool = Field(False, description="Whether it cannot be loaded.")


class Deadly(Prepared):
    """A sample that ends the process of whoever encodes it."""


class MortalReader(PixelsReader):
    def __call__(self, sample: Sample) -> Prepared:
        prepared = super().__call__(sample)
        killed_by = self.settings.killed_by  # type: ignore[attr-defined]
        if not killed_by or killed_by not in sample.key:
            return prepared
        return Deadly(prepared.tensors, prepared.notes, prepared.extents)


class MortalEncoder(PixelsEncoder):
    Settings = MortalSettings

    def __init__(self, name: str, settings: MortalSettings, tools: Tools) -> None:
        super().__init__(name, settings)
        self.reader = MortalReader(settings)
        self.settings = settings

    def load(self) -> None:
        if self.settings.lacks_weights:
            raise BackboneError("The weights of mortal are not there.")

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        time.sleep(self.settings.seconds * len(prepared))
        once = Path(self.settings.once) if self.settings.once else None
        if any(isinstance(item, Deadly) for item in prepared) and not (once and once.exists()):
            if once:
                once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(prepared, feature_sets=feature_sets)
