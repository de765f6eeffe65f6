"""Statistics of measurements over time, through no backbone: seven of each channel, and how long it went on."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64

from ...cache.arrays import ArraySpec
from ..decode.sensor import decode_sensors
from ..sources.source import Sample, SeriesFormat
from .kind import Prepared, StoredAsRead, StreamReader, Tools
from .series import describe_series, measured_series
from .settings import SeriesStatisticsSettings
from .statistics import names_of, statistics_of

_STEPS = 1024  # even steps that a recording is resampled to, so that a rate that wanders weighs no part of it more


@dataclass(frozen=True)
class SeriesStatisticsReader(StreamReader):
    """{"values": (numbers,)}."""

    settings: SeriesStatisticsSettings
    series: SeriesFormat

    def __call__(self, sample: Sample) -> Prepared:
        series = decode_sensors(sample.files[self.stream][0], num_steps=_STEPS, series=self.series)
        within = _within(series.times, series.active)
        step = float(series.times[1] - series.times[0])
        of_channels = statistics_of(series.values[within], step_seconds=step)
        values = np.append(of_channels.ravel(), step * np.count_nonzero(within))
        return Prepared({"values": torch.from_numpy(values.astype(np.float32))}, notes=series.notes)


def _within(times: Float64[np.ndarray, " steps"], active: Float64[np.ndarray, " 2"]) -> Bool[np.ndarray, " steps"]:
    """The steps at which something goes on; all where that cannot be told, or no step lies within."""
    within = (active[0] <= times) & (times <= active[1])
    return within if within.any() else np.ones(len(times), dtype=bool)


class SeriesStatisticsEncoder(StoredAsRead):
    """Statistics over the time in which something goes on, in the file's units; over all of it where none tells."""

    def __init__(
        self, name: str, settings: SeriesStatisticsSettings, series: SeriesFormat, *, told: SeriesFormat | None = None
    ) -> None:
        names = [*names_of(series.channels), "seconds"]
        values = ArraySpec("values", (len(names),), ("dim",), "float32", attributes={"names": names})
        decoding = {"num_steps": _STEPS, "resampling": "linear", "statistics": names, **describe_series(series, told)}
        super().__init__(name, SeriesStatisticsReader(settings, series), [values], decoding=decoding)


def make(name: str, settings: SeriesStatisticsSettings, tools: Tools) -> SeriesStatisticsEncoder:
    series, told = measured_series(name, settings, tools.source)
    return SeriesStatisticsEncoder(name, settings, series, told=told)
