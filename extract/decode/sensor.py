"""Sensors: the machine's CSV file to six channels, evenly resampled over real time.

Columns are found by name and fields by their place in the header, counted from the left. The real files end every
data row one field before their header does (`Remarks ` is never filled), which shifts the columns of a reader that
aligns rows from the right or takes the surplus for an index.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ...errors import DecodeError
from .decoded import SensorSeries

CHANNELS = ("Pressure", "CO2 Weld Flow", "Feed", "Primary Weld Current", "Wire Consumed", "Secondary Weld Voltage")
ARC_ON_AMPERE = 50.0
# Real recordings last 21 to 43 s, and minutes with their gaps; hours mean wrong time stamps or several recordings.
MAX_SECONDS = 3600.0

_CURRENT = CHANNELS.index("Primary Weld Current")
_DAY_SECONDS = 86_400.0
_LARGEST_FLOAT32 = float(np.finfo(np.float32).max)
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)")


@dataclass(frozen=True)
class SensorTable:
    """The file's rows in the order of time, each time once; an empty cell is NaN.

    `times` are seconds from the first row and strictly ascend.
    """

    times: Float64[np.ndarray, " rows"]
    values: Float64[np.ndarray, "rows 6"]


def decode_sensors(path: Path, *, num_steps: int) -> SensorSeries:
    """The six `CHANNELS` in the file's units at `num_steps` even times from the first row to the last.

    Between two rows that hold a value a channel runs straight, over empty cells and over gaps in the recording alike;
    before its first and after its last value it stays at that value.

    Raises:
        DecodeError: as `read_sensor_table`, and if a channel has no value at all.
    """
    table = read_sensor_table(path)
    times = np.linspace(0.0, table.times[-1], num_steps)
    values = np.empty((num_steps, len(CHANNELS)), dtype=np.float32)
    for position, (name, column) in enumerate(zip(CHANNELS, table.values.T, strict=True)):
        known = ~np.isnan(column)
        if not known.any():
            raise DecodeError(f"{path}: the channel {name} has no value in any row.")
        values[:, position] = np.interp(times, table.times[known], column[known])
    return SensorSeries(values=values, times=times, arc_on=_arc_on(table))


def arc_on_window(path: Path) -> tuple[float, float]:
    """First and last time, in seconds from the first row, at which the current is above 50 A.

    The sensors' clock is not the camera's: onsets of the two differ by 1.2 s in the median.

    Raises:
        DecodeError: as `read_sensor_table`, and if the current is never above 50 A.
    """
    first, last = _arc_on(read_sensor_table(path)).tolist()
    if math.isnan(first):
        raise DecodeError(
            f"{path}: the current is never above {ARC_ON_AMPERE:g} A, so there is no time with the arc on."
        )
    return first, last


def read_sensor_table(path: Path) -> SensorTable:
    """Read a sensor file.

    Rows are sorted by time, stably; of rows with one time the first is kept. Time is that of day and unrolls over
    midnight: a step of more than half a day is a step into another day, which needs no guess at the format of `Date`.

    Raises:
        DecodeError: if the file is unreadable or empty, a column is missing, a field is neither empty nor a number, a
            time is malformed, there are not two times, or they span more than an hour.
    """
    lines = _read_lines(path)
    _, fields = next(lines, (0, []))
    header = [name.strip() for name in fields]
    if not any(header):
        raise DecodeError(f"{path}: the sensor file is empty.")
    columns = {name: _find_column(header, name=name, path=path) for name in ("Time", *CHANNELS)}
    seconds, values = [], []
    for number, row in lines:
        place = f"{path}, line {number}"
        _check_length(row, header=header, needed=1 + max(columns.values()), place=place)
        seconds.append(_parse_time(row[columns["Time"]], place=place))
        values.append([_parse_value(row[columns[name]], name=name, place=place) for name in CHANNELS])
    return _in_order(np.array(seconds), np.array(values).reshape(-1, len(CHANNELS)), path=path)


def _read_lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of every row that is not blank."""
    try:
        # A byte that is not UTF-8 may stand in a remark, where it does no harm; in a number it is reported as such.
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError as error:
        raise DecodeError(f"{path}: the sensor file cannot be read ({error.strerror}).") from error
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        yield from ((rows.line_num, row) for row in rows if any(field.strip() for field in row))
    except csv.Error as error:
        raise DecodeError(f"{path}, line {rows.line_num}: not a line of a CSV file ({error}).") from error


def _find_column(header: list[str], *, name: str, path: Path) -> int:
    if header.count(name) != 1:
        found = "is missing" if name not in header else "occurs more than once"
        raise DecodeError(f"{path}: the column {name} {found}; the header is {', '.join(header)!r}.")
    return header.index(name)


def _check_length(row: list[str], *, header: list[str], needed: int, place: str) -> None:
    if len(row) < needed or any(field.strip() for field in row[len(header) :]):
        raise DecodeError(f"{place}: the row has {len(row)} fields, the header {len(header)}.")


def _parse_time(text: str, *, place: str) -> float:
    """Seconds since midnight."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise DecodeError(f"{place}: Time is {text!r}, expected HH:MM:SS.mmm.")
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3])
    if hours > 23 or minutes > 59 or seconds >= 60:
        raise DecodeError(f"{place}: Time is {text!r}, which is no time of day.")
    return hours * 3600 + minutes * 60 + seconds


def _parse_value(text: str, *, name: str, place: str) -> float:
    """The number, or NaN for an empty cell."""
    stripped = text.strip()
    if not stripped:
        return math.nan
    try:
        value = float(stripped)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST_FLOAT32:
        raise DecodeError(f"{place}: {name} is {text!r}, expected a number or nothing.")
    return value


def _in_order(
    seconds: Float64[np.ndarray, " lines"], values: Float64[np.ndarray, "lines 6"], *, path: Path
) -> SensorTable:
    # np.unique sorts, and its indices are those of first occurrences.
    times, first = np.unique(np.unwrap(seconds, period=_DAY_SECONDS), return_index=True)
    if len(times) < 2:
        raise DecodeError(f"{path}: the sensor file has {len(times)} distinct times, and at least 2 are needed.")
    times -= times[0]
    if times[-1] > MAX_SECONDS:
        raise DecodeError(
            f"{path}: the times span {times[-1] / 3600:.1f} h; no weld takes that long, so the time stamps are wrong "
            "or the file holds several recordings."
        )
    return SensorTable(times=times, values=values[first])


def _arc_on(table: SensorTable) -> Float64[np.ndarray, " 2"]:
    """First and last time with the arc on, or NaN twice."""
    lit = table.times[table.values[:, _CURRENT] > ARC_ON_AMPERE]
    return np.array([lit[0], lit[-1]]) if len(lit) else np.full(2, np.nan)
