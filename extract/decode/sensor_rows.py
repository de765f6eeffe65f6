"""The rows of a sensor file: fields under their columns' names, numbers, and what cannot be one.

Columns are found by name and fields by their place in the header, counted from the left. The real files end every
data row one field before their header does (`Remarks ` is never filled), which shifts the columns of a reader that
aligns rows from the right or takes the surplus for an index. The field to spare would also take up what one comma too
many pushes to the right, so rows are compared with each other and not with the header alone.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ...documents import foreign_kind
from ...errors import DecodeError
from ...wording import count_of, shortened
from ..sources.source import SeriesFormat
from .media import read_content

MOST_BYTES = 64 << 20  # an hour at 200 rows a second; real files have 15 to 50 kB

# Of ASCII digits alone: float() and \d also take 1_000 and the digits of other scripts.
_TIME = re.compile(r"(\d{1,2}):(\d{2}):(\d{2}(?:\.\d+)?)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_COMMA = "A comma too many, as in 2,361.7? Write numbers with a decimal point and without thousands separators."

MOST_SHOWN = 3  # places in a note

_ENOUGH_ROWS = 100  # to tell how a column is written
_ODD_SHARE = 0.01  # of its numbers, at most, that are written otherwise; more, and it is written freely

_COARSE_SHARE = 0.1  # of rows with the stamp of the row before them: above it the clock is slower than the rows

_NOT_UTF8 = "\ufffd"  # what such bytes are decoded to

_Line = tuple[int, list[str]]  # its number in the file, its fields


@dataclass(frozen=True)
class SensorRows:
    """Rows in the order of the file; an empty cell is NaN."""

    lines: Int64[np.ndarray, " rows"]
    seconds: Float64[np.ndarray, " rows"]  # since midnight
    values: Float64[np.ndarray, "rows channels"]
    notes: tuple[str, ...]  # what was left out, in words for the user


def read_sensor_rows(path: Path, *, series: SeriesFormat) -> SensorRows:
    """Read a sensor file as it stands.

    Raises:
        DecodeError: if the file is unreadable or empty, a column is missing, fields have moved to other columns, a
            field is neither empty nor a number, or a time is malformed.
    """
    text = _read_text(path)
    (_, fields), *lines = _split(text, path=path) or [(1, [])]
    header = [name.strip() for name in fields]
    if not any(header):
        raise DecodeError(f"{path}: the sensor file is empty.")
    columns = {name: _find_column(header, name=name, path=path) for name in (series.clock, *series.channels)}
    needed = 1 + max(columns.values())
    notes = []
    if lines and not text.endswith(("\n", "\r")) and _may_be_cut(lines, needed=needed):
        number, _ = lines.pop()
        notes.append(f"line {number} is left out: the file ends in it, and its last number may be cut")
    _check_columns(lines, header=header, needed=needed, path=path)
    places = [f"{path}, line {number}" for number, _ in lines]
    times = [
        _parse_time(row[columns[series.clock]], name=series.clock, place=place)
        for (_, row), place in zip(lines, places, strict=True)
    ]
    values = [
        [_parse_value(row[columns[name]], name=name, place=place) for name in series.channels]
        for (_, row), place in zip(lines, places, strict=True)
    ]
    seconds = np.array(times, dtype=np.float64)
    once, repeats = _each_once(lines, seconds)
    return SensorRows(
        lines=np.array([number for number, _ in lines], dtype=np.int64)[once],
        seconds=seconds[once],
        values=np.array(values, dtype=np.float64).reshape(-1, len(series.channels))[once],
        notes=(*notes, *repeats, *_odd_numbers(lines, columns)),
    )


def columns_of_numbers(path: Path) -> tuple[str, ...]:
    """Names of the columns of a sensor file that hold numbers alone, and some, in the file's order.

    Raises:
        DecodeError: if the file is unreadable.
    """
    (_, fields), *lines = _split(_read_text(path), path=path) or [(1, [])]
    written = {
        name.strip(): [row[place].strip() for _, row in lines if place < len(row) and row[place].strip()]
        for place, name in enumerate(fields)
        if name.strip()
    }
    return tuple(name for name, cells in written.items() if cells and all(map(_NUMBER.fullmatch, cells)))


def is_coarse(seconds: Float64[np.ndarray, " rows"]) -> bool:
    """Whether the clock counts more slowly than rows follow, so that many have the stamp of the row before."""
    return len(seconds) > 1 and bool(np.mean(np.diff(seconds) == 0) > _COARSE_SHARE)


def lines_told(numbers: Sequence[int]) -> str:
    """Where in the file something is: `line 7`, `lines 7, 9, 12 and 4 more`."""
    shown = shortened([str(number) for number in numbers], most=MOST_SHOWN)
    return f"line {shown}" if len(numbers) == 1 else f"lines {shown}"


def _read_text(path: Path) -> str:
    content = read_content(path, what="sensor file", most_bytes=MOST_BYTES)
    if kind := foreign_kind(content):
        raise DecodeError(f"{path}: the sensor file is {kind}; write it as text in UTF-8.")
    # A byte that is not UTF-8 may stand in a remark, where it does no harm; in a number it is reported as such.
    return content.decode("utf-8-sig", errors="replace")


def _split(text: str, *, path: Path) -> list[_Line]:
    """Every row that is not blank."""
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        return [(rows.line_num, row) for row in rows if any(field.strip() for field in row)]
    except csv.Error as error:
        raise DecodeError(f"{path}, line {rows.line_num}: not a line of a CSV file ({error}).") from error


def _find_column(header: list[str], *, name: str, path: Path) -> int:
    if header.count(name) != 1:
        found = "is missing" if name not in header else "occurs more than once"
        if _NOT_UTF8 in "".join(header):
            raise DecodeError(f"{path}: the column {name} {found}, and the header holds bytes that are not UTF-8.")
        raise DecodeError(f"{path}: the column {name} {found}; the header is {', '.join(header)!r}.")
    return header.index(name)


def _each_once(
    lines: Sequence[_Line], seconds: Float64[np.ndarray, " rows"]
) -> tuple[Int64[np.ndarray, " kept"], list[str]]:
    """Which rows stay where some are written again, equal in every field, and what to say of it.

    Where all are, that is what happened to the file. Some alone may also be what a clock slower than the rows gives of
    a machine that stands still; there, nothing is dropped.
    """
    rows = [tuple(row) for _, row in lines]
    counts, seen = Counter(rows), Counter[tuple[str, ...]]()
    each = math.gcd(*counts.values())
    kept: list[int] = []
    again: list[int] = []
    for place, row in enumerate(rows):
        seen[row] += 1
        (kept if seen[row] <= (counts[row] // each if each > 1 else 1) else again).append(place)
    if each > 1:
        return np.array(kept), [f"each row occurs {'twice' if each == 2 else f'{each} times'} and is taken once"]
    if not again or is_coarse(seconds[kept]):
        return np.arange(len(rows)), []
    told = lines_told([lines[place][0] for place in again])
    return np.array(kept), [f"{count_of(len(again), 'row repeats', 'rows repeat')} another and count once ({told})"]


def _may_be_cut(lines: Sequence[_Line], *, needed: int) -> bool:
    """Whether the last row, which no end of line follows, may have been longer.

    It is whole where something follows its last number, or where that has as many decimals as any above it.
    """
    *above, (_, last) = lines
    if len(last) != needed:
        return len(last) < needed
    decimals = max((_decimals(row[needed - 1]) for _, row in above if len(row) >= needed), default=0)
    return decimals == 0 or _decimals(last[needed - 1]) < decimals


def _decimals(text: str) -> int:
    return len(text.strip().partition(".")[2])


def _odd_numbers(lines: Sequence[_Line], columns: Mapping[str, int]) -> Iterator[str]:
    """Numbers with more or fewer decimals than all others of their column, as where a digit or a point was lost."""
    if len(lines) < _ENOUGH_ROWS:
        return
    for name, column in columns.items():
        written = {number: _decimals(row[column]) for number, row in lines if row[column].strip()}
        usual, _ = Counter(written.values()).most_common(1)[0] if written else (0, 0)
        odd = [number for number, decimals in written.items() if decimals != usual]
        if 0 < len(odd) <= _ODD_SHARE * len(written):
            where, decimals_told = lines_told(odd), count_of(usual, "decimal")
            yield f"{name} has other than {decimals_told} in {where} alone: a digit or a point may be lost"


def _check_columns(lines: Sequence[_Line], *, header: Sequence[str], needed: int, path: Path) -> None:
    """Refuse rows whose fields stand in other columns than in the other rows.

    What is pushed to the right ends up behind the last column that is needed. There, words are a remark and harmless;
    a number is harmless only in a column of numbers. Where rows differ in how many blank fields they end with, one of
    them may be a field that was pushed there, unless the last column is filled in every row.
    """
    filled = Counter(column for _, row in lines for column in range(needed, len(row)) if row[column].strip())
    paddings = Counter(_padding(row, needed=needed) for _, row in lines)
    usual, _ = paddings.most_common(1)[0] if paddings else (0, 0)
    lengths_differ = len({len(row) for _, row in lines}) > 1
    has_gaps = any(len(row) >= needed and not row[needed - 1].strip() for _, row in lines)
    for number, row in lines:
        place = f"{path}, line {number}"
        if len(row) < needed:
            raise DecodeError(f"{place}: the row has {len(row)} fields, the header {len(header)}.")
        if any(field.strip() for field in row[len(header) :]):
            raise DecodeError(f"{place}: the row has {len(row)} fields, the header {len(header)}. {_COMMA}")
        for column in range(needed, len(row)):
            of_numbers = 2 * filled[column] > len(lines) and not header[column].lower().startswith("remark")
            if _NUMBER.fullmatch(row[column].strip()) and not of_numbers:
                raise DecodeError(f"{place}: {header[column]} is the number {row[column].strip()}. {_COMMA}")
        if lengths_differ and has_gaps and _padding(row, needed=needed) != usual:
            raise DecodeError(f"{place}: the row has {len(row)} fields, unlike the others. {_COMMA}")


def _padding(row: Sequence[str], *, needed: int) -> int:
    """How many blank fields a row ends with, behind the last column that is needed."""
    blank = 0
    while len(row) - blank > needed and not row[len(row) - blank - 1].strip():
        blank += 1
    return blank


def _parse_time(text: str, *, name: str, place: str) -> float:
    """Seconds since midnight."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise DecodeError(f"{place}: {name} is {text!r}, expected HH:MM:SS.mmm.")
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3])
    if hours > 23 or minutes > 59 or seconds >= 60:
        raise DecodeError(f"{place}: {name} is {text!r}, which is no time of day.")
    return hours * 3600 + minutes * 60 + seconds


def _parse_value(text: str, *, name: str, place: str) -> float:
    """The number, infinite where it is too large for one, or NaN for an empty cell."""
    stripped = text.strip()
    if stripped and not _NUMBER.fullmatch(stripped):
        raise DecodeError(f"{place}: {name} is {text!r}, expected a number or nothing.")
    return float(stripped) if stripped else math.nan
