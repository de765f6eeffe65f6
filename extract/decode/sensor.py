"""Sensors: a file of measurements, CSV or Parquet, to channels, evenly resampled over real time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ...errors import DecodeError
from ...wording import count_of, listed, shortened
from ..sources.source import SeriesFormat
from .decoded import SensorSeries, never
from .sensor_clock import read_clock
from .sensor_parquet import is_parquet, parquet_columns_of_numbers, read_parquet_rows
from .sensor_rows import MOST_SHOWN, csv_columns_of_numbers, read_sensor_rows

_OFFSET = 0.1  # a sensor's zero may lie so far below 0
_NEARLY_ALL = 0.9  # of a channel's values other than 0
_FEW_ROWS = 8
_FEW_SECONDS = 1.0
_FAR = 5  # times the spread of all other values of a recording, or their middle value, whichever is more
_FAR_SHARE = 0.01  # of a channel's values, at most, that may be far from the others; more are no glitch
_LARGEST = float(np.finfo(np.float32).max)  # that can be stored
_ROUNDING = 0.01  # of the range of a channel: from there on, steps of float32 change what is made of it


@dataclass(frozen=True)
class SensorTable:
    """The file's rows in the order of time, each time once; an empty cell is NaN.

    `times` are seconds from the first row and strictly ascend.
    """

    times: Float64[np.ndarray, " rows"]
    values: Float64[np.ndarray, "rows channels"]
    notes: tuple[str, ...]  # what was left out or mended, and what looks wrong, in words for the user


def decode_sensors(path: Path, *, num_steps: int, series: SeriesFormat) -> SensorSeries:
    """The channels of `series` in the file's units at `num_steps` even times from the first row to the last.

    Between two rows that hold a value a channel runs straight, over empty cells and over gaps in the recording alike;
    before its first and after its last value it stays at that value.

    Raises:
        DecodeError: as `read_sensor_table`.
    """
    table = read_sensor_table(path, series=series)
    times = np.linspace(0.0, table.times[-1], num_steps)
    values = np.empty((num_steps, len(series.channels)), dtype=np.float32)
    for position, column in enumerate(table.values.T):
        known = ~np.isnan(column)
        values[:, position] = np.interp(times, table.times[known], column[known])
    active, notes = _active(table, series), table.notes
    if series.active is not None and np.isnan(active).any():
        notes += (_never_active(series),)
    noted = tuple(f"{path}: {what}" for what in notes)
    return SensorSeries(values=values, times=times, active=active, notes=noted)


def active_window(path: Path, *, series: SeriesFormat) -> tuple[float, float]:
    """First and last time, in seconds from the first row, at which what is recorded goes on.

    This clock is not a camera's: the onsets of the two may lie a second and more apart.

    Raises:
        DecodeError: as `read_sensor_table`, and if it never does.
    """
    first, last = _active(read_sensor_table(path, series=series), series).tolist()
    if math.isnan(first):
        raise DecodeError(f"{path}: {_never_active(series)}, so there is no time at which anything goes on.")
    return first, last


def read_sensor_table(path: Path, *, series: SeriesFormat) -> SensorTable:
    """Read a sensor file.

    Raises:
        DecodeError: as `read_sensor_rows`, `read_parquet_rows` and `read_clock`, and if a channel has no value at all
            or most of its values are beyond its limit.
    """
    rows = (read_parquet_rows if is_parquet(path) else read_sensor_rows)(path, series=series)
    timing = read_clock(rows.stamps, lines=rows.lines, max_seconds=series.max_seconds, path=path)
    values, beyond = _within_limits(rows.values, series=series, lines=rows.lines, path=path)
    kept, lines = values[timing.rows], rows.lines[timing.rows]
    doubts = [
        *_few(timing.times),
        *_far_values(kept, lines=lines, channels=series.channels),
        *_still_channels(kept, series.channels),
        *_rounded(kept, series.channels),
        *(() if series.signed else _negative(kept, series.channels)),
        *_exchanged(kept, series),
    ]
    return SensorTable(timing.times, kept, (*rows.notes, *timing.notes, *beyond, *doubts))


def columns_of_numbers(path: Path, *, series: SeriesFormat) -> tuple[str, ...]:
    """Names of the columns of a sensor file that hold numbers alone, and some, in the file's order, without its clock.

    Raises:
        DecodeError: if the file is unreadable.
    """
    return (parquet_columns_of_numbers if is_parquet(path) else csv_columns_of_numbers)(path, series=series)


def _within_limits(
    values: Float64[np.ndarray, "rows channels"], *, series: SeriesFormat, lines: Int64[np.ndarray, " rows"], path: Path
) -> tuple[Float64[np.ndarray, "rows channels"], list[str]]:
    """What is no measurement becomes an empty cell: one such value would outweigh all others of a data set."""
    limits = [min(limit, _LARGEST) for limit in series.limits]
    beyond = np.abs(values) > np.array(limits)
    notes = []
    for name, limit, column, wrong in zip(series.channels, limits, values.T, beyond.T, strict=True):
        num_known, found = int(np.sum(~np.isnan(column))), np.flatnonzero(wrong)
        if not num_known:
            raise DecodeError(f"{path}: the channel {name} has no value in any row.")
        if not len(found):
            continue
        shown = (
            f"{count_of(len(found), 'value')} of {name} beyond {limit:g} (line {lines[found[0]]}: {column[found[0]]:g})"
        )
        if 2 * len(found) > num_known:
            raise DecodeError(f"{path}: {shown}: another unit? The feature's setting `limits` has the largest.")
        notes.append(f"{shown} taken as empty")
    return np.where(beyond, np.nan, values), notes


def _few(times: Float64[np.ndarray, " rows"]) -> Iterator[str]:
    if len(times) < _FEW_ROWS or times[-1] < _FEW_SECONDS:
        yield f"only {count_of(len(times), 'row')} in {times[-1]:.3g} s"


def _far_values(
    values: Float64[np.ndarray, "rows channels"], *, lines: Int64[np.ndarray, " rows"], channels: Sequence[str]
) -> Iterator[str]:
    """Values that are far from all others of their channel, as a glitch is and a second level of the signal is not."""
    for name, column in zip(channels, values.T, strict=True):
        known = column[~np.isnan(column)]
        num_far = max(1, int(_FAR_SHARE * len(known)))
        if len(known) < _FEW_ROWS:
            continue
        middle = np.median(known)
        near = known[np.argsort(np.abs(known - middle))][:-num_far]
        low, high = near.min(), near.max()
        reach = _FAR * max(high - low, abs(middle))
        far = np.flatnonzero((column > high + reach) | (column < low - reach))
        if len(far) and reach:
            shown = shortened([f"{column[row]:g} in line {lines[row]}" for row in far.tolist()], most=MOST_SHOWN)
            yield f"{name} is {shown}, far from all else ({low:g} to {high:g})"


def _still_channels(values: Float64[np.ndarray, "rows channels"], channels: Sequence[str]) -> Iterator[str]:
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    still = [f"{name} ({value:g})" for name, value, same in zip(channels, low, low == high, strict=True) if same]
    if still:
        yield f"{listed(still)} {'holds' if len(still) == 1 else 'hold'} one value throughout"
    empty = np.isnan(values).sum(axis=0)
    for name, number in zip(channels, empty.tolist(), strict=True):
        if 2 * number > len(values):
            yield f"{name} is empty in {number} of {count_of(len(values), 'row')}"


def _rounded(values: Float64[np.ndarray, "rows channels"], channels: Sequence[str]) -> Iterator[str]:
    """Channels that lie so far from 0 that float32, in which they are stored, leaves little of how they vary."""
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    steps = np.spacing(np.maximum(np.abs(low), np.abs(high)).astype(np.float32))
    for name, least, most, step in zip(channels, low.tolist(), high.tolist(), steps.tolist(), strict=True):
        if 0 < most - least < step / _ROUNDING:
            yield (
                f"{name} varies by {most - least:.3g} around {least:.3g} and is rounded to steps of {step:.3g}: take "
                "an offset off beforehand, or leave it out if it is a count or a clock"
            )


def _negative(values: Float64[np.ndarray, "rows channels"], channels: Sequence[str]) -> Iterator[str]:
    """All channels are magnitudes: one that is below 0 has a sign or a name that is not its own."""
    for name, column in zip(channels, values.T, strict=True):
        number = int(np.sum(column < 0))
        if number > _NEARLY_ALL * np.sum(np.abs(column) > 0) and np.nanmin(column) < -_OFFSET:
            yield f"{name} is negative in {number:,} of {count_of(len(column), 'row')}: a sign or a column may be wrong"


def _exchanged(values: Float64[np.ndarray, "rows channels"], series: SeriesFormat) -> Iterator[str]:
    """Whether two channels are active in more rows where each is the other than where they are themselves."""
    if series.active is None or series.exchangeable is None:
        return
    first, second, low, high = series.exchangeable
    threshold = series.active[1]
    ones, others = (np.abs(values[:, series.channels.index(name)]) for name in (first, second))
    high_others = others > threshold
    found = int(np.sum(high_others & (low <= ones) & (ones <= high)))
    if found > max(np.sum(ones > threshold), np.sum(high_others) / 2):
        yield (
            f"{first} and {second} look exchanged: in {count_of(found, 'row')} the second is above {threshold:g} and "
            f"the first {low:g} to {high:g}"
        )


def _active(table: SensorTable, series: SeriesFormat) -> Float64[np.ndarray, " 2"]:
    """First and last time at which what is recorded goes on, or NaN twice."""
    if series.active is None:
        return never()
    channel, threshold = series.active
    times = table.times[table.values[:, series.channels.index(channel)] > threshold]
    return np.array([times[0], times[-1]]) if len(times) else never()


def _never_active(series: SeriesFormat) -> str:
    return "no channel tells" if series.active is None else "{} is never above {:g}".format(*series.active)
