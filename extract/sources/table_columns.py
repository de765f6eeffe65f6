"""The rows of a table in a file, CSV, TSV or Parquet, as text by column. They are counted from 1 below the header."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Literal

from ...documents import decoded, read_regular_file
from ...errors import NotFoundError, SourceError, reason_of
from ...wording import brief, with_extra

Decimal = Literal["point", "comma"]

_SEPARATORS = (",", ";", "\t", "|")
_MARKS: Mapping[Decimal, str] = {"point": r"\.", "comma": ","}
_NUMBER: Mapping[Decimal, re.Pattern[str]] = {
    decimal: re.compile(rf"[-+]?(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?")
    for decimal, mark in _MARKS.items()
}

_NO_LISTS: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Header:
    """What all rows of a table share."""

    path: Path
    columns: tuple[str, ...]  # as they are written, of which two may have one name

    @cached_property
    def place_of(self) -> Mapping[str, int]:
        """Where in a row a column stands; of two of one name the last."""
        return {column: place for place, column in enumerate(self.columns)}


@dataclass(frozen=True, eq=False, slots=True)
class TableRow:
    """A row's values as text, `row[column]`, with its place for messages. A million of them are in memory together."""

    header: Header
    number: int
    values: tuple[str, ...]  # in the order of the columns
    lists: frozenset[str] = _NO_LISTS  # columns that hold several values or none here, as those of Parquet may

    def __getitem__(self, column: str) -> str:
        return self.values[self.header.place_of[column]]

    @property
    def place(self) -> str:
        return f"{self.header.path}, row {self.number}"

    @property
    def columns(self) -> tuple[str, ...]:
        return self.header.columns

    def refused(self, column: str, why: str) -> SourceError:
        return SourceError(f"{self.place}: {column} is {brief(self[column])}; {why}.")


def read_rows(path: Path) -> Iterator[TableRow]:
    """Every row that is not empty.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: if it cannot be read, or a row has not as many values as there are columns.
    """
    if path.suffix.lower() == ".parquet":
        yield from _read_parquet(path)
        return
    try:
        text = decoded(read_regular_file(path), encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: name the table in data.table.") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error
    first_line = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        header = Header(path, tuple(name.strip() for name in next(reader, [])))
        num_columns = len(header.columns)
        for number, fields in enumerate((fields for fields in reader if any(map(str.strip, fields))), start=1):
            row = TableRow(header, number, tuple(map(str.strip, fields)))
            if len(fields) != num_columns:
                raise SourceError(
                    f"{row.place}: {len(fields)} values for {num_columns} columns; give each column one value, and put "
                    f"a value that holds {separator!r} in quotation marks."
                )
            yield row
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}; check the quotation marks.") from error


def is_number(text: str, decimal: Decimal) -> bool:
    """Whether a text is one finite number, with this before its fraction; thousands are never parted."""
    return _NUMBER[decimal].fullmatch(text) is not None and math.isfinite(number_in(text, decimal))


def number_in(text: str, decimal: Decimal) -> float:
    """The number that a text is, of which `is_number` holds."""
    return float(text.replace(",", ".") if decimal == "comma" else text)


def _read_parquet(path: Path) -> Iterator[TableRow]:
    import pandas as pd

    if not path.is_file():
        raise NotFoundError(f"There is no {path}: name the table in data.table.")
    try:
        # Whole numbers stay whole beside missing ones: as floats, key 7 would be another than in a CSV of the same.
        frame = pd.read_parquet(path, dtype_backend="numpy_nullable")
    except ImportError as error:
        raise SourceError(f"{path} is read by pyarrow, which is not installed: {with_extra('parquet')}.") from error
    except (OSError, ValueError) as error:  # those of pyarrow are of these kinds
        raise SourceError(f"{path} cannot be read: {error}.") from error
    header = Header(path, tuple(map(str, frame.columns)))
    empty = frame.isna().to_numpy()
    for number, values in enumerate(frame.itertuples(index=False, name=None)):
        told = ("" if none else str(value).strip() for value, none in zip(values, empty[number], strict=True))
        several = [isinstance(value, Sized) and not isinstance(value, str) for value in values]
        lists = frozenset(compress(header.columns, several)) if any(several) else _NO_LISTS
        yield TableRow(header, number + 1, tuple(told), lists)
