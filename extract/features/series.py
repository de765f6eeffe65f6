"""Sensors: resampled, in physical units, through no backbone."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...cache.arrays import ArraySpec, FeatureSetSpec
from ..decode.sensor import decode_sensors
from ..decode.sensor_rows import SeriesFormat
from ..sources.source import Sample
from ..sources.welds.run_folder import WELDING_MACHINE
from .kind import Features, Prepared, StreamReader, Tools, arc_on_array, made_by
from .settings import SENSOR_LIMITS, SeriesSettings


@dataclass(frozen=True)
class SeriesReader(StreamReader):
    """The series itself: {"values": (steps, channels), "times": (steps,), "arc_on": (2,)}."""

    settings: SeriesSettings

    def __call__(self, sample: Sample) -> Prepared:
        path, settings = sample.files[self.stream][0], self.settings
        series = decode_sensors(path, num_steps=settings.num_steps, series=series_format(settings))
        tensors = {name: torch.from_numpy(getattr(series, name)) for name in ("values", "times", "arc_on")}
        return Prepared(tensors, notes=series.notes)


class SeriesEncoder:
    """Stores what was read: normalisation belongs to stage two, which knows what is normal."""

    def __init__(self, name: str, settings: SeriesSettings) -> None:
        self.reader = SeriesReader(settings)
        steps, channels = settings.num_steps, series_format(settings).channels
        values = ArraySpec(
            "values", (steps, len(channels)), ("step", "channel"), "float32", attributes={"channels": list(channels)}
        )
        times = ArraySpec("times", (steps,), ("step",), "float64", distinct=False, attributes={"unit": "s"})
        decoding: dict[str, object] = {"num_steps": steps, "resampling": "linear", "channels": list(channels)}
        if settings.limits != SENSOR_LIMITS:  # which change nothing but what no machine measures
            decoding["limits"] = list(settings.limits)
        if settings.clock != WELDING_MACHINE.clock:
            decoding["clock"] = settings.clock
        arrays = [values, times, arc_on_array()]
        self.specs = [FeatureSetSpec(name, arrays, made_by(None, decoding=decoding))]

    def load(self) -> None:
        pass  # there are no weights

    def encode(self, prepared: Sequence[Prepared], *, feature_sets: frozenset[str]) -> Features:
        names = [array.name for array in self.specs[0].arrays]
        stacked = {name: torch.stack([item.tensors[name] for item in prepared]) for name in names}
        return dict.fromkeys(feature_sets, stacked)

    def flops(self, prepared: Prepared, *, feature_sets: frozenset[str]) -> int:
        return 0  # none worth counting


def series_format(settings: SeriesSettings) -> SeriesFormat:
    """What the files hold. Of other columns than the usual ones nothing is known but their names and limits."""
    if settings.channels is None:
        return replace(WELDING_MACHINE, limits=settings.limits, clock=settings.clock)
    return SeriesFormat(settings.channels, settings.limits, clock=settings.clock, signed=True)


def make(name: str, settings: SeriesSettings, tools: Tools) -> SeriesEncoder:
    return SeriesEncoder(name, settings)
