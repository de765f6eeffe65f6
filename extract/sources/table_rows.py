"""The rows of a table in a file, CSV, TSV or Parquet, as text by column. They are counted from 1 below the header."""

import csv
import io
from collections.abc import Iterator, Mapping, Sized
from dataclasses import dataclass
from itertools import compress
from pathlib import Path

from ...documents import decoded, read_regular_file
from ...errors import NotFoundError, SourceError, reason_of
from ...wording import brief, with_extra

_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, eq=False)
class TableRow:
    """A row's values by column, as text, with its place for messages."""

    values: Mapping[str, str]
    place: str
    columns: tuple[str, ...]  # as in the header, of which two may have one name
    lists: frozenset[str] = frozenset()  # columns that hold several values or none here, as those of Parquet may

    def refused(self, column: str, why: str) -> SourceError:
        return SourceError(f"{self.place}: {column} is {brief(self.values[column])}; {why}.")


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
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    try:
        columns = [name.strip() for name in next(reader, [])]
        for number, fields in enumerate((fields for fields in reader if any(map(str.strip, fields))), start=1):
            place = f"{path}, row {number}"
            if len(fields) != len(columns):
                raise SourceError(
                    f"{place}: {len(fields)} values for {len(columns)} columns; give each column one value, and put a "
                    f"value that holds {separator!r} in quotation marks."
                )
            yield TableRow(dict(zip(columns, map(str.strip, fields), strict=True)), place, columns=tuple(columns))
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}; check the quotation marks.") from error


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
    columns = tuple(map(str, frame.columns))
    empty = frame.isna().to_numpy()
    for number, values in enumerate(frame.itertuples(index=False, name=None)):
        told = ["" if none else str(value).strip() for value, none in zip(values, empty[number], strict=True)]
        several = (isinstance(value, Sized) and not isinstance(value, str) for value in values)
        yield TableRow(
            dict(zip(columns, told, strict=True)),
            f"{path}, row {number + 1}",
            columns=columns,
            lists=frozenset(compress(columns, several)),
        )
