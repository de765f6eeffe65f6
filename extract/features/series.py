"""Measurements over time: resampled, in physical units, through no backbone."""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import torch

from ...cache.arrays import ACTIVE, ArraySpec
from ...errors import DecodeError, NotFoundError, SettingsError
from ..decode.sensor import columns_of_numbers, decode_sensors
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
    series = _as_written(settings, told or SeriesFormat((), ()))
    if told is None or settings.channels is not None:
        # Of columns that only the settings or the files name, nothing is known but perhaps their limits.
        channels = settings.channels or _found_columns(name, settings.stream, source.samples(), series=series)
        columns = tuple(channels.values()) if isinstance(channels, dict) else tuple(channels)
        limit_of = {} if told is None else dict(zip(told.columns or told.channels, told.limits, strict=True))
        series = replace(
            series,
            channels=tuple(channels),
            columns=None if columns == tuple(channels) else columns,
            limits=tuple(limit_of.get(column, math.inf) for column in columns),
            active=None,
            exchangeable=None,
            signed=True,
        )
    series = replace(series, limits=settings.limits or series.limits)
    check_limits(series, key=f"features.{name}.limits")
    return series, told


def _as_written(settings: MeasurementsSettings, series: SeriesFormat) -> SeriesFormat:
    """How the files are written: as the settings say, and else as the source does."""
    names = ("clock", "times", "rate", "max_seconds", "delimiter", "decimal")
    fields = MeasurementsSettings.model_fields
    said = {name: value for name in names if (value := getattr(settings, name)) != fields[name].default}
    return replace(series, **said)


def describe_series(series: SeriesFormat, told: SeriesFormat | None) -> dict[str, object]:
    """The channels that are read; limits and clock where the source does not tell them, as they change nothing else but
    what cannot be a measurement; and how files are written, where that is not the usual way."""
    described: dict[str, object] = {"channels": list(series.channels)}
    if told is None or series.limits != told.limits:
        described["limits"] = [None if math.isinf(limit) else limit for limit in series.limits]
    if series.clock != (SeriesFormat.clock if told is None else told.clock):
        described["clock"] = series.clock
    usual = told or SeriesFormat((), ())
    if series.columns != usual.columns:
        described["columns"] = list(series.column_of.values())
    for name in ("times", "rate", "delimiter", "decimal"):
        if (value := getattr(series, name)) != getattr(usual, name):
            described[name] = value
    return described


def check_limits(series: SeriesFormat, *, key: str) -> None:
    """Refuse limits, set by `key`, that are not one a channel; raises SettingsError."""
    if len(series.limits) != len(series.channels):
        raise SettingsError(f"{key}: {limits_told(len(series.limits), series.channels)}.")


def _found_columns(name: str, stream: str, samples: Sequence[Sample], *, series: SeriesFormat) -> tuple[str, ...]:
    """The columns of numbers of the first file that can be read."""
    for sample in samples:
        for path in sample.files.get(stream, ()):
            with suppress(DecodeError):
                if found := columns_of_numbers(path, series=series):
                    return found
    raise NotFoundError(
        f"No file of the stream {stream} tells which columns features.{name} holds: none has a column of numbers. Name "
        f"them with --set features.{name}.channels=[...], or see that the files are there."
    )
