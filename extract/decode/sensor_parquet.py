"""The rows of a sensor file in Parquet: columns have types there, so nothing is told from how it is written."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from ...errors import DecodeError, SourceError
from ...wording import with_extra
from ..features.settings import TimeUnit
from ..sources.source import SeriesFormat
from .media import read_content
from .sensor_rows import MOST_BYTES, SensorRows, evenly, find_column
from .sensor_times import DAY_SECONDS, Stamps, parse_stamps, seconds_in, unix_told, unix_unit

_MOST_VALUES = 1 << 26  # half a gigabyte; a file of kilobytes may announce any number
_UNITS: dict[str, TimeUnit] = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def is_parquet(path: Path) -> bool:
    """By its name's end."""
    return path.suffix.lower() in (".parquet", ".pq")


def read_parquet_rows(path: Path, *, series: SeriesFormat) -> SensorRows:
    """Read a sensor file as it stands; the rows are its lines, from 1.

    Raises:
        DecodeError: if the file is unreadable, a column is missing or of another type than numbers, or a row has no
            time; and as `parse_stamps`.
        SourceError: if what reads Parquet is not installed.
    """
    file = _open(path)
    names = list(file.schema_arrow.names)
    wanted = [*series.column_of.values(), *([series.clock] if series.rate is None else [])]
    for name in wanted:
        find_column(names, name=name, path=path)
    table = _read(path, file, columns=list(dict.fromkeys(wanted)))
    values = [_values(table.column(name), name=name, path=path) for name in series.column_of.values()]
    if series.rate is None:
        stamps = _stamps(table.column(series.clock), unit=series.times, name=series.clock, path=path)
    else:
        stamps = evenly(table.num_rows, rate=series.rate)
    return SensorRows(np.arange(1, table.num_rows + 1), stamps, np.stack(values, axis=1), notes=())


def parquet_columns_of_numbers(path: Path, *, series: SeriesFormat) -> tuple[str, ...]:
    """As `columns_of_numbers` of any file."""
    schema = _open(path).schema_arrow
    return tuple(
        field.name
        for field in schema
        if _is_number(field.type) and not (series.rate is None and field.name == series.clock)
    )


def _open(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise SourceError(f"{path} is read by pyarrow, which is not installed: {with_extra('parquet')}.") from error
    content = read_content(path, what="sensor file", most_bytes=MOST_BYTES)
    try:
        return ParquetFile(io.BytesIO(content))
    except MemoryError:
        raise
    except Exception as error:  # of any kind: it was given bytes that are not what they say
        raise DecodeError(f"{path}: not a Parquet file that can be read ({_first_line(error)}).") from error


def _read(path: Path, file: Any, *, columns: Sequence[str]) -> Any:
    if file.metadata.num_rows * len(columns) > _MOST_VALUES:
        raise DecodeError(
            f"{path}: it has {file.metadata.num_rows:,} rows of {len(columns)} columns, and at most {_MOST_VALUES:,} "
            "values are read; cut it in several, or thin it out."
        )
    try:
        return file.read(columns=list(columns))
    except MemoryError:
        raise
    except Exception as error:
        raise DecodeError(f"{path}: the Parquet file is damaged ({_first_line(error)}).") from error


def _is_number(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def _values(column: Any, *, name: str, path: Path) -> Float64[np.ndarray, " rows"]:
    """Numbers, and NaN where there is none."""
    if not (_is_number(column.type) or str(column.type) == "null"):
        raise DecodeError(f"{path}: {name} is a column of {column.type} and not of numbers; write it as double.")
    return np.asarray(column.cast("float64", safe=False).to_numpy(), dtype=np.float64)


def _stamps(column: Any, *, unit: TimeUnit | None, name: str, path: Path) -> Stamps:
    """The times of all rows; what times, dates and durations say of themselves goes before `unit`."""
    from pyarrow import types

    kind = column.type
    if column.null_count:
        row = int(np.argmax(np.asarray(column.is_null()))) + 1
        raise DecodeError(f"{path}, line {row}: {name} is empty, expected a time.")
    if types.is_string(kind) or types.is_large_string(kind):
        places = [f"{path}, line {row}" for row in range(1, len(column) + 1)]
        return parse_stamps(column.to_pylist(), unit=unit, name=name, places=places)
    if types.is_time(kind):
        whole = column.cast("int32" if types.is_time32(kind) else "int64")
        return Stamps(np.asarray(whole) * seconds_in(_UNITS[kind.unit]), period=DAY_SECONDS)
    if types.is_timestamp(kind) or types.is_duration(kind):
        return Stamps(_since_first(np.asarray(column.cast("int64")), unit=_UNITS[kind.unit]))
    if not (types.is_integer(kind) or types.is_floating(kind)):
        raise DecodeError(
            f"{path}: {name} is a column of {kind} and not of times; write timestamps, times of day or numbers."
        )
    numbers = np.asarray(column)
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers))) + 1
        raise DecodeError(f"{path}, line {row}: {name} is {numbers[row - 1]}, which is no time.")
    notes = []
    if unit is None and len(numbers):
        unit = unix_unit(float(numbers[0]), name=name, place=f"{path}, line 1")
        notes.append(unix_told(name, unit))
    return Stamps(_since_first(numbers, unit=unit or "seconds"), notes=tuple(notes))


def _since_first(numbers: np.ndarray, *, unit: TimeUnit) -> Float64[np.ndarray, " rows"]:
    """Seconds; the difference is taken before anything is rounded, since nanoseconds since 1970 fit no float."""
    exact = numbers.astype(np.int64 if numbers.dtype.kind in "iu" else np.float64)
    return np.asarray((exact - exact[:1]) * seconds_in(unit), dtype=np.float64)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".")[:200] or type(error).__name__
