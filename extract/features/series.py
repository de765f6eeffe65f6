"""Measurements over time: resampled, in physical units, through no backbone."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from ...cache.arrays import ACTIVE, ArraySpec
from ...errors import DecodeError, NotFoundError, SettingsError
from ..decode.sensor import decode_sensors
from ..decode.sensor_rows import columns_of_numbers
from ..sources.source import Sample, SeriesFormat, series_told
from .kind import Prepared, StoredAsRead, StreamReader, Tools, active_array
from .settings import SeriesSettings


@dataclass(frozen=True)
class SeriesReader(StreamReader):
    """The series itself: {"values": (steps, channels), "times": (steps,), ACTIVE: (2,)}."""

    settings: SeriesSettings
    series: SeriesFormat

    def __call__(self, sample: Sample) -> Prepared:
        path = sample.files[self.stream][0]
        series = decode_sensors(path, num_steps=self.settings.num_steps, series=self.series)
        told = {"values": series.values, "times": series.times, ACTIVE: series.active}
        tensors = {name: torch.from_numpy(values) for name, values in told.items()}
        return Prepared(tensors, notes=series.notes)


class SeriesEncoder(StoredAsRead):
    """Stores what was read: normalisation belongs to stage two, which knows what is normal.

    `series` is what is read, `told` what the data set's source says of the files, if it does.
    """

    def __init__(
        self, name: str, settings: SeriesSettings, series: SeriesFormat, *, told: SeriesFormat | None = None
    ) -> None:
        steps, channels = settings.num_steps, list(series.channels)
        values = ArraySpec(
            "values", (steps, len(channels)), ("step", "channel"), "float32", attributes={"channels": channels}
        )
        times = ArraySpec("times", (steps,), ("step",), "float64", distinct=False, attributes={"unit": "s"})
        decoding: dict[str, object] = {"num_steps": steps, "resampling": "linear", "channels": channels}
        # What a source tells is not described: its limits change nothing but what cannot be a measurement.
        if told is None or series.limits != told.limits:
            decoding["limits"] = [None if math.isinf(limit) else limit for limit in series.limits]
        if series.clock != (SeriesFormat.clock if told is None else told.clock):
            decoding["clock"] = series.clock
        super().__init__(name, SeriesReader(settings, series), [values, times, active_array()], decoding=decoding)


def make(name: str, settings: SeriesSettings, tools: Tools) -> SeriesEncoder:
    told = series_told(tools.source).get(settings.stream)
    series = told
    if series is None or settings.channels is not None:
        # Of columns that only the settings or the files name, nothing is known but perhaps their limits.
        channels = settings.channels or _found_columns(name, settings.stream, tools.source.samples())
        limit_of = {} if told is None else dict(zip(told.channels, told.limits, strict=True))
        clock = SeriesFormat.clock if told is None else told.clock
        limits = tuple(limit_of.get(channel, math.inf) for channel in channels)
        series = SeriesFormat(channels, limits, clock=clock, signed=True)
    series = replace(series, limits=settings.limits or series.limits, clock=settings.clock or series.clock)
    check_limits(series, key=f"features.{name}.limits")
    return SeriesEncoder(name, settings, series, told=told)


def check_limits(series: SeriesFormat, *, key: str) -> None:
    """Refuse limits, set by `key`, that are not one a channel; raises SettingsError."""
    if len(series.limits) != len(series.channels):
        raise SettingsError(f"{key} has {len(series.limits)} for {len(series.channels)} channels; give each one.")


def _found_columns(name: str, stream: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    """The columns of numbers of the first file that can be read."""
    for sample in samples:
        for path in sample.files.get(stream, ()):
            with suppress(DecodeError):
                if found := columns_of_numbers(path):
                    return found
    raise NotFoundError(
        f"No file of the stream {stream} tells which columns features.{name} holds: none has a column of numbers. Name "
        f"them with --set features.{name}.channels=[...], or see that the files are there."
    )
