"""A table in a file, CSV, TSV or Parquet, as text by column. Its rows are counted from 1 below the header."""

import csv
import io
import math
import re
from collections.abc import Collection, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from ...documents import decoded, read_regular_file
from ...errors import NotFoundError, SourceError, reason_of
from ...wording import brief, with_extra

Decimal = Literal["point", "comma"]

_SEPARATORS = (",", ";", "\t", "|")
_ROWS_AT_ONCE = 1024
_MARKS: Mapping[Decimal, str] = {"point": r"\.", "comma": ","}
_NUMBER: Mapping[Decimal, re.Pattern[str]] = {
    decimal: re.compile(rf"[-+]?(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][-+]?[0-9]{{1,3}})?")
    for decimal, mark in _MARKS.items()
}


@dataclass(frozen=True, eq=False)
class Table:
    """The rows that are not empty, `table[column][row]` for each value, and how messages speak of them. Columns, not
    rows, are kept: an object for each of a million rows would take more room than its values.

    Attributes:
        columns: as they are written, of which two may have one name.
        values: by column; of two of one name the last.
        numbers: how the rows are counted.
        lists: the rows that hold several values or none in a column, as those of Parquet may.
    """

    path: Path
    columns: tuple[str, ...]
    values: Mapping[str, Sequence[str]]
    numbers: Sequence[int]
    lists: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, column: str) -> Sequence[str]:
        return self.values[column]

    def place(self, row: int) -> str:
        return f"{self.path}, row {self.numbers[row]}"

    def refused(self, row: int, column: str, why: str) -> SourceError:
        return SourceError(f"{self.place(row)}: {column} is {brief(self[column][row])}; {why}.")

    def of_columns(self, columns: Collection[str]) -> "Table":
        """The same of some columns: the others' texts can be given up."""
        return replace(self, values={column: self.values[column] for column in columns})

    def of_rows(self, rows: Sequence[int]) -> "Table":
        """The same of some rows, none of which holds a list, counted as before."""
        values = {column: [told[row] for row in rows] for column, told in self.values.items()}
        return replace(self, values=values, numbers=[self.numbers[row] for row in rows], lists={})


def read_table(path: Path) -> Table:
    """All of a table.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: if it cannot be read, or a row has not as many values as there are columns.
    """
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else _read_text(path)


def _read_text(path: Path) -> Table:
    try:
        content = read_regular_file(path)
        first_line = decoded(content, encoding="utf-8-sig").partition("\n")[0]
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: name the table in data.table.") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error
    separator = max(_SEPARATORS, key=first_line.count)
    # Decoded again line by line: `io.StringIO` would take four bytes of memory for each letter of the table.
    lines = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    reader = csv.reader(lines, strict=True, delimiter=separator)
    num_rows = 0
    try:
        columns = tuple(name.strip() for name in next(reader, []))
        values: list[list[str]] = [[] for _ in columns]
        filled = (fields for fields in reader if any(map(str.strip, fields)))
        while rows := list(islice(filled, _ROWS_AT_ONCE)):
            for number, fields in enumerate(rows, start=num_rows + 1):
                if len(fields) != len(columns):
                    raise SourceError(
                        f"{path}, row {number}: {len(fields)} values for {len(columns)} columns; give each column one "
                        f"value, and put a value that holds {separator!r} in quotation marks."
                    )
            for of_column, texts in zip(values, zip(*rows, strict=True), strict=True):
                shared: dict[str, str] = {}  # a text that stands in neighbouring rows is once in memory
                of_column += [shared.setdefault(text, text) for text in map(str.strip, texts)]
            num_rows += len(rows)
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}; check the quotation marks.") from error
    return Table(path, columns, dict(zip(columns, values, strict=True)), range(1, num_rows + 1))


def numbers_in(texts: Sequence[str], decimal: Decimal) -> list[float | None]:
    """What each text is, with this before its fraction; None where it is not one finite number. Thousands are never
    parted."""
    is_written_so = _NUMBER[decimal].fullmatch
    return [
        number if is_written_so(text) and math.isfinite(number := float(text.replace(",", "."))) else None
        for text in texts
    ]


def _read_parquet(path: Path) -> Table:
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
    columns = tuple(map(str, frame.columns))
    values, lists = {}, {}
    for place, column in enumerate(columns):
        of_column = frame.iloc[:, place]
        empty = of_column.isna().tolist()
        values[column] = ["" if none else str(value).strip() for value, none in zip(of_column, empty, strict=True)]
        lists[column] = [
            row for row, value in enumerate(of_column) if isinstance(value, Sized) and not isinstance(value, str)
        ]
    return Table(path, columns, values, range(1, len(frame) + 1), lists)
