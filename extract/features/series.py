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
from ..sources.source import Sample, SeriesFormat, Source, series_told
from .kind import Prepared, StoredAsRead, StreamReader, Tools, active_array
from .settings import MeasurementsSettings, SeriesSettings, limits_told


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
        decoding = {"num_steps": steps, "resampling": "linear", **describe_series(series, told)}
        super().__init__(name, SeriesReader(settings, series), [values, times, active_array()], decoding=decoding)


def make(name: str, settings: SeriesSettings, tools: Tools) -> SeriesEncoder:
    series, told = measured_series(name, settings, tools.source)
    return SeriesEncoder(name, settings, series, told=told)


def measured_series(
    name: str, settings: MeasurementsSettings, source: Source
) -> tuple[SeriesFormat, SeriesFormat | None]:
    """What of the files is read for the feature `name`, and what the source says of them, if it does.

    Raises:
        NotFoundError: if nobody tells the columns, and no file has one of numbers.
        SettingsError: if there are not as many limits as channels.
    """
    told = series_told(source).get(settings.stream)
    series = told
    if series is None or settings.channels is not None:
        # Of columns that only the settings or the files name, nothing is known but perhaps their limits.
        channels = settings.channels or _found_columns(name, settings.stream, source.samples())
        limit_of = {} if told is None else dict(zip(told.channels, told.limits, strict=True))
        clock = SeriesFormat.clock if told is None else told.clock
        limits = tuple(limit_of.get(channel, math.inf) for channel in channels)
        series = SeriesFormat(channels, limits, clock=clock, signed=True)
    series = replace(series, limits=settings.limits or series.limits, clock=settings.clock or series.clock)
    check_limits(series, key=f"features.{name}.limits")
    return series, told


def describe_series(series: SeriesFormat, told: SeriesFormat | None) -> dict[str, object]:
    """The channels that are read; limits and clock where the source does not tell them, as they change nothing else but
    what cannot be a measurement."""
    described: dict[str, object] = {"channels": list(series.channels)}
    if told is None or series.limits != told.limits:
        described["limits"] = [None if math.isinf(limit) else limit for limit in series.limits]
    if series.clock != (SeriesFormat.clock if told is None else told.clock):
        described["clock"] = series.clock
    return described


def check_limits(series: SeriesFormat, *, key: str) -> None:
    """Refuse limits, set by `key`, that are not one a channel; raises SettingsError."""
    if len(series.limits) != len(series.channels):
        raise SettingsError(f"{key}: {limits_told(len(series.limits), series.channels)}.")


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
