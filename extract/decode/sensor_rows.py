"""The rows of a sensor file as text: fields under their columns' names, numbers, and what cannot be one.

Columns are found by name and fields by their place in the header, counted from the left. The real files end every
data row one field before their header does (`Remarks ` is never filled), which shifts the columns of a reader that
aligns rows from the right or takes the surplus for an index. The field to spare would also take up what one comma too
many pushes to the right, so rows are compared with each other and not with the header alone.
"""

import csv
import io
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from ...documents import foreign_kind
from ...errors import DecodeError
from ...wording import count_of, shortened
from ..features.settings import Delimiter
from ..sources.source import SeriesFormat
from .media import read_content
from .sensor_times import NUMBER, Stamps, parse_stamps

MOST_BYTES = 64 << 20  # an hour at 200 rows a second; real files have 15 to 50 kB

_COMMA = "A comma too many, as in 2,361.7? Write numbers with a decimal point and without thousands separators."

MOST_SHOWN = 3  # places in a note

_ENOUGH_ROWS = 100  # to tell how a column is written
_ODD_SHARE = 0.01  # of its numbers, at most, that are written otherwise; more, and it is written freely

_COARSE_SHARE = 0.1  # of rows with the stamp of the row before them: above it the clock is slower than the rows

_NOT_UTF8 = "\ufffd"  # what such bytes are decoded to

_DELIMITERS: Mapping[Delimiter, str] = {"comma": ",", "semicolon": ";", "tab": "\t"}
_POINT_FOR_COMMA = str.maketrans(",.", ".,")

_Line = tuple[int, list[str]]  # its number in the file, its fields


@dataclass(frozen=True)
class SensorRows:
    """Rows in the order of the file; an empty cell is NaN."""

    lines: Int64[np.ndarray, " rows"]
    stamps: Stamps
    values: Float64[np.ndarray, "rows channels"]
    notes: tuple[str, ...]  # what was left out, in words for the user


def read_sensor_rows(path: Path, *, series: SeriesFormat) -> SensorRows:
    """Read a sensor file as it stands.

    Raises:
        DecodeError: if the file is unreadable or empty, a column is missing, fields have moved to other columns, or a
            field is neither empty nor a number; and as `parse_stamps`.
    """
    text = _read_text(path)
    (_, fields), *lines = _split(text, series=series, path=path) or [(1, [])]
    header = [name.strip() for name in fields]
    if not any(header):
        raise DecodeError(f"{path}: the sensor file is empty.")
    columns = {name: find_column(header, name=column, path=path) for name, column in series.column_of.items()}
    clock = find_column(header, name=series.clock, path=path) if series.rate is None else 0
    needed = 1 + max(*columns.values(), clock)
    notes = []
    if lines and not text.endswith(("\n", "\r")) and _may_be_cut(lines, needed=needed):
        number, _ = lines.pop()
        notes.append(f"line {number} is left out: the file ends in it, and its last number may be cut")
    _check_columns(lines, header=header, needed=needed, path=path)
    places = [f"{path}, line {number}" for number, _ in lines]
    stamps, once, repeats = _timed(lines, clock, series=series, places=places)
    values = [
        [_parse_value(row[columns[name]], name=column, place=place) for name, column in series.column_of.items()]
        for (_, row), place in zip(lines, places, strict=True)
    ]
    if stamps.period is not None:  # dates and numbers may leave out decimals that are zero
        columns = {series.clock: clock, **columns}
    return SensorRows(
        lines=np.array([number for number, _ in lines], dtype=np.int64)[once],
        stamps=stamps,
        values=np.array(values, dtype=np.float64).reshape(-1, len(series.channels))[once],
        notes=(*notes, *repeats, *_odd_numbers(lines, columns)),
    )


def _timed(
    lines: Sequence[_Line], clock: int, *, series: SeriesFormat, places: Sequence[str]
) -> tuple[Stamps, Int64[np.ndarray, " kept"], list[str]]:
    """The stamps of the rows that stay, which these are, and what to say of the others."""
    if series.rate is not None:  # rows that are counted are no repeats, whatever they hold
        return evenly(len(lines), rate=series.rate), np.arange(len(lines)), []
    written = [row[clock] for _, row in lines]
    stamps = parse_stamps(written, unit=series.times, name=series.clock, places=places)
    once, repeats = _each_once(lines, stamps.seconds)
    return replace(stamps, seconds=stamps.seconds[once]), once, repeats


def csv_columns_of_numbers(path: Path, *, series: SeriesFormat) -> tuple[str, ...]:
    """As `columns_of_numbers` of any file."""
    (_, fields), *lines = _split(_read_text(path), series=series, path=path) or [(1, [])]
    written = {
        name.strip(): [row[place].strip() for _, row in lines if place < len(row) and row[place].strip()]
        for place, name in enumerate(fields)
        if name.strip() and not (series.rate is None and name.strip() == series.clock)
    }
    return tuple(name for name, cells in written.items() if cells and all(map(NUMBER.fullmatch, cells)))


def evenly(number: int, *, rate: float) -> Stamps:
    """Stamps of rows that follow each other without a clock, `rate` a second."""
    return Stamps(np.arange(number) / rate)


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


def _split(text: str, *, series: SeriesFormat, path: Path) -> list[_Line]:
    """Every row that is not blank; where rows are counted instead of timed, those too that are blank in between."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_DELIMITERS[series.delimiter])
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DecodeError(f"{path}, line {reader.line_num}: not a line of a CSV file ({error}).") from error
    filled = [place for place, (_, row) in enumerate(rows) if any(field.strip() for field in row)]
    if series.rate is None:
        rows = [rows[place] for place in filled]
    else:
        rows = rows[min(filled, default=0) : max(filled, default=-1) + 1]
        rows = [(number, row or [""] * len(rows[0][1])) for number, row in rows]
    if series.decimal == "comma":
        rows[1:] = [(number, [field.translate(_POINT_FOR_COMMA) for field in row]) for number, row in rows[1:]]
    return rows


def find_column(header: list[str], *, name: str, path: Path) -> int:
    """The place of the column `name` in a header.

    Raises:
        DecodeError: if it is not there exactly once.
    """
    if header.count(name) != 1:
        found = "is missing" if name not in header else "occurs more than once"
        if _NOT_UTF8 in "".join(header):
            raise DecodeError(f"{path}: the column {name} {found}, and the header holds bytes that are not UTF-8.")
        others = [word for word, sign in _DELIMITERS.items() if len(header) == 1 and sign in header[0]]
        hint = f" Is it parted otherwise? Then set delimiter={others[0]} for the feature." if others else ""
        raise DecodeError(f"{path}: the column {name} {found}; the header is {', '.join(header)!r}.{hint}")
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
            if NUMBER.fullmatch(row[column].strip()) and not of_numbers:
                raise DecodeError(f"{place}: {header[column]} is the number {row[column].strip()}. {_COMMA}")
        if lengths_differ and has_gaps and _padding(row, needed=needed) != usual:
            raise DecodeError(f"{place}: the row has {len(row)} fields, unlike the others. {_COMMA}")


def _padding(row: Sequence[str], *, needed: int) -> int:
    """How many blank fields a row ends with, behind the last column that is needed."""
    blank = 0
    while len(row) - blank > needed and not row[len(row) - blank - 1].strip():
        blank += 1
    return blank


def _parse_value(text: str, *, name: str, place: str) -> float:
    """The number, infinite where it is too large for one, or NaN for an empty cell."""
    stripped = text.strip()
    if stripped and not NUMBER.fullmatch(stripped):
        raise DecodeError(f"{place}: {name} is {text!r}, expected a number or nothing.")
    return float(stripped) if stripped else math.nan
