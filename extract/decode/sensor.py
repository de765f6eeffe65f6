"""Sensors: the machine's CSV file to six channels, evenly resampled over real time."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ...configs.schema import SensorSettings
from ...errors import DecodeError
from ...wording import count_of, listed, shortened
from .decoded import SensorSeries
from .onset import never
from .sensor_clock import read_clock
from .sensor_rows import CHANNELS, MOST_SHOWN, read_sensor_rows

ARC_ON_AMPERE = 50.0
LIMITS = SensorSettings().limits

_CURRENT = CHANNELS.index("Primary Weld Current")
_VOLTAGE = CHANNELS.index("Secondary Weld Voltage")
_ARC_VOLTS = (10.0, 45.0)  # between which arcs burn; a source that waits for one may hold more
_OFFSET = 0.1  # a sensor's zero may lie so far below 0
_NEARLY_ALL = 0.9  # of a channel's values other than 0
_FEW_ROWS = 8
_FEW_SECONDS = 1.0
_FAR = 5  # times the spread of all other values of a recording, or their middle value, whichever is more
_FAR_SHARE = 0.01  # of a channel's values, at most, that may be far from the others; more are no glitch


@dataclass(frozen=True)
class SensorTable:
    """The file's rows in the order of time, each time once; an empty cell is NaN.

    `times` are seconds from the first row and strictly ascend.
    """

    times: Float64[np.ndarray, " rows"]
    values: Float64[np.ndarray, "rows 6"]
    problems: tuple[str, ...]  # what was left out or mended, and what looks wrong, in words for the user


def decode_sensors(path: Path, *, num_steps: int, limits: Sequence[float] = LIMITS) -> SensorSeries:
    """The six `CHANNELS` in the file's units at `num_steps` even times from the first row to the last.

    Between two rows that hold a value a channel runs straight, over empty cells and over gaps in the recording alike;
    before its first and after its last value it stays at that value.

    Raises:
        DecodeError: as `read_sensor_table`.
    """
    table = read_sensor_table(path, limits=limits)
    times = np.linspace(0.0, table.times[-1], num_steps)
    values = np.empty((num_steps, len(CHANNELS)), dtype=np.float32)
    for position, column in enumerate(table.values.T):
        known = ~np.isnan(column)
        values[:, position] = np.interp(times, table.times[known], column[known])
    arc_on, problems = _arc_on(table), table.problems
    if np.isnan(arc_on).any():
        problems += (f"the current is never above {ARC_ON_AMPERE:g} A",)
    noted = tuple(f"{path}: {what}" for what in problems)
    return SensorSeries(values=values, times=times, arc_on=arc_on, problems=noted)


def arc_on_window(path: Path, *, limits: Sequence[float] = LIMITS) -> tuple[float, float]:
    """First and last time, in seconds from the first row, at which the current is above 50 A.

    The sensors' clock is not the camera's: onsets of the two differ by 1.2 s in the median.

    Raises:
        DecodeError: as `read_sensor_table`, and if the current is never above 50 A.
    """
    first, last = _arc_on(read_sensor_table(path, limits=limits)).tolist()
    if math.isnan(first):
        raise DecodeError(
            f"{path}: the current is never above {ARC_ON_AMPERE:g} A, so there is no time with the arc on."
        )
    return first, last


def read_sensor_table(path: Path, *, limits: Sequence[float] = LIMITS) -> SensorTable:
    """Read a sensor file; `limits` is the largest magnitude of each channel that is taken for a measurement.

    Raises:
        DecodeError: as `read_sensor_rows` and `read_clock`, and if a channel has no value at all or most of its values
            are beyond its limit.
    """
    rows = read_sensor_rows(path)
    timing = read_clock(rows.seconds, lines=rows.lines, path=path)
    values, beyond = _within_limits(rows.values, limits=limits, lines=rows.lines, path=path)
    kept, lines = values[timing.rows], rows.lines[timing.rows]
    doubts = [
        *_few(timing.times),
        *_far_values(kept, lines=lines),
        *_still_channels(kept),
        *_negative(kept),
        *_exchanged(kept),
    ]
    return SensorTable(timing.times, kept, (*rows.problems, *timing.problems, *beyond, *doubts))


def _within_limits(
    values: Float64[np.ndarray, "rows 6"], *, limits: Sequence[float], lines: Int64[np.ndarray, " rows"], path: Path
) -> tuple[Float64[np.ndarray, "rows 6"], list[str]]:
    """What is no measurement becomes an empty cell: one such value would outweigh all others of a data set."""
    beyond = np.abs(values) > np.array(limits)
    problems = []
    for name, limit, column, wrong in zip(CHANNELS, limits, values.T, beyond.T, strict=True):
        num_known, found = int(np.sum(~np.isnan(column))), np.flatnonzero(wrong)
        if not num_known:
            raise DecodeError(f"{path}: the channel {name} has no value in any row.")
        if not len(found):
            continue
        shown = (
            f"{count_of(len(found), 'value')} of {name} beyond {limit:g} (line {lines[found[0]]}: {column[found[0]]:g})"
        )
        if 2 * len(found) > num_known:
            raise DecodeError(f"{path}: {shown}: another unit? The limits are the setting sensor.limits.")
        problems.append(f"{shown} taken as empty")
    return np.where(beyond, np.nan, values), problems


def _few(times: Float64[np.ndarray, " rows"]) -> Iterator[str]:
    if len(times) < _FEW_ROWS or times[-1] < _FEW_SECONDS:
        yield f"only {count_of(len(times), 'row')} in {times[-1]:.3g} s"


def _far_values(values: Float64[np.ndarray, "rows 6"], *, lines: Int64[np.ndarray, " rows"]) -> Iterator[str]:
    """Values that are far from all others of their channel, as a glitch is and a second level of the signal is not."""
    for name, column in zip(CHANNELS, values.T, strict=True):
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


def _still_channels(values: Float64[np.ndarray, "rows 6"]) -> Iterator[str]:
    low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    still = [f"{name} ({value:g})" for name, value, same in zip(CHANNELS, low, low == high, strict=True) if same]
    if still:
        yield f"{listed(still)} {'holds' if len(still) == 1 else 'hold'} one value throughout"
    empty = np.isnan(values).sum(axis=0)
    for name, number in zip(CHANNELS, empty.tolist(), strict=True):
        if 2 * number > len(values):
            yield f"{name} is empty in {number} of {count_of(len(values), 'row')}"


def _negative(values: Float64[np.ndarray, "rows 6"]) -> Iterator[str]:
    """All six channels are magnitudes: one that is below 0 has a sign or a name that is not its own."""
    for name, column in zip(CHANNELS, values.T, strict=True):
        number = int(np.sum(column < 0))
        if number > _NEARLY_ALL * np.sum(np.abs(column) > 0) and np.nanmin(column) < -_OFFSET:
            yield f"{name} is negative in {number:,} of {count_of(len(column), 'row')}: a sign or a column may be wrong"


def _exchanged(values: Float64[np.ndarray, "rows 6"]) -> Iterator[str]:
    """Whether more rows hold an arc where current and voltage are each other's than where they are their own."""
    current, voltage = np.abs(values[:, _CURRENT]), np.abs(values[:, _VOLTAGE])
    low, high = _ARC_VOLTS
    high_voltage = voltage > ARC_ON_AMPERE
    found = int(np.sum(high_voltage & (low <= current) & (current <= high)))
    if found > max(np.sum(current > ARC_ON_AMPERE), np.sum(high_voltage) / 2):
        yield (
            f"current and voltage look exchanged: in {count_of(found, 'row')} the voltage is above "
            f"{ARC_ON_AMPERE:g} V and the current {low:g} to {high:g} A"
        )


def _arc_on(table: SensorTable) -> Float64[np.ndarray, " 2"]:
    """First and last time with the arc on, or NaN twice."""
    lit = table.times[table.values[:, _CURRENT] > ARC_ON_AMPERE]
    return np.array([lit[0], lit[-1]]) if len(lit) else never()
