"""What the columns of a table hold of each row: files, attributes known without media, vectors of numbers."""

import math
import ntpath
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import cast

from ...errors import SourceError
from .table_columns import Decimal, Table, numbers_in

_PATTERN = re.compile(r"[*?\[]")


def files_in(table: Table, streams: Mapping[str, str], *, root: Path) -> list[dict[str, tuple[Path, ...]]]:
    """The files of each stream of each row, by the stream's column; rows that name the same ones share what is found.

    Raises:
        SourceError: if a file is not there, or would not lie below `root`.
    """
    if not streams:
        return [{}] * len(table)
    found: dict[tuple[str, ...], dict[str, tuple[Path, ...]]] = {}
    missing: list[SourceError] = []
    rows = list(zip(*(table[column] for column in streams.values()), strict=True))
    for row, names in enumerate(rows):
        if names not in found:
            of_stream = {
                stream: _paths(root, table, row, column) for stream, column in streams.items() if table[column][row]
            }
            found[names] = {stream: paths for stream, paths in of_stream.items() if paths}
        if len(found[names]) < len(names):
            missing += [
                table.refused(row, column, f"there is no such file below {root}")
                for (stream, column), name in zip(streams.items(), names, strict=True)
                if name and stream not in found[names]
            ]
    if missing:
        more = f" ({len(missing) - 1:,} more like that)" if len(missing) > 1 else ""
        raise SourceError(f"{str(missing[0]).rstrip('.')}{more}.")
    return [found[names] for names in rows]


def _paths(root: Path, table: Table, row: int, column: str) -> tuple[Path, ...]:
    """The file that stands in a column, or those that a pattern there names; none where there is none."""
    name = table[column][row].replace("\\", "/")  # as Windows writes them
    leads_out = name.startswith("/") or ntpath.splitdrive(name)[0] or ".." in name.split("/")
    if leads_out or "\0" in name:
        raise table.refused(row, column, f"write a path below {root}, such as 'images/1.png'")
    if (path := root / name).is_file():
        return (path,)
    return tuple(sorted(path for path in root.glob(name) if path.is_file())) if _PATTERN.search(name) else ()


def attributes_in(table: Table, column_of: Mapping[str, str], *, decimal: Decimal) -> list[dict[str, float | str]]:
    """What is known of each row without media: numbers where a column holds nothing else, and NaN for none.

    Raises:
        SourceError: if a column holds numbers that are written otherwise.
    """
    columns = {name: _attribute(table, column, decimal) for name, column in column_of.items()}
    if not columns:
        return [{}] * len(table)
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _attribute(table: Table, column: str, decimal: Decimal) -> Sequence[float | str]:
    """A column as numbers, if it holds nothing else; numbers of the other writing would pass for words, and are
    refused."""
    texts = table[column]
    numbers = numbers_in(texts, decimal)
    strange = _rows_of_words(texts, numbers)
    if not strange:
        return [math.nan if number is None else number for number in numbers]
    other: Decimal = "comma" if decimal == "point" else "point"
    if not _rows_of_words(texts, numbers_in(texts, other)):
        why = f"if a {other} stands before the fraction there, set data.decimal={other}"
        raise table.refused(strange[0], column, why)
    return texts


def _rows_of_words(texts: Sequence[str], numbers: Sequence[float | None]) -> list[int]:
    """The rows of a column in which something stands that is no number."""
    return [row for row, (text, number) in enumerate(zip(texts, numbers, strict=True)) if text and number is None]


def absent_in(table: Table, streams: Mapping[str, str]) -> dict[int, dict[str, str]]:
    """By row and stream, which column names no file."""
    absent: dict[int, dict[str, str]] = {}
    for stream, column in streams.items():
        for row, name in enumerate(table[column]):
            if not name:
                absent.setdefault(row, {})[stream] = f"{table.place(row)}: {column} is empty"
    return absent


def vectors_in(
    table: Table, vectors: Mapping[str, Sequence[str]], *, decimal: Decimal
) -> tuple[list[dict[str, tuple[float, ...]]], dict[int, dict[str, str]]]:
    """The vectors of each row; and by row and stream those that cannot be read, with the first column that holds no
    number: the other rows go on."""
    if not vectors:
        return [{}] * len(table), {}
    read: list[dict[str, tuple[float, ...]]] = [{} for _ in range(len(table))]
    unreadable: dict[int, dict[str, str]] = {}
    for stream, patterns in vectors.items():
        columns = columns_of(patterns, table.columns)
        by_column = [numbers_in(table[column], decimal) for column in columns]
        for row, numbers in enumerate(zip(*by_column, strict=True)):
            if None in numbers:
                example = "12.5" if decimal == "point" else "12,5"
                asked = f"write a number such as 7 or {example}, or see data.decimal"
                why = table.refused(row, columns[numbers.index(None)], asked)
                unreadable.setdefault(row, {})[stream] = str(why)
            else:
                read[row][stream] = cast(tuple[float, ...], numbers)
    return read, unreadable


def columns_of(patterns: Sequence[str], columns: Sequence[str]) -> list[str]:
    """The columns that patterns name, in their order."""
    return [column for pattern in patterns for column in _columns_like(pattern, columns)]


def _columns_like(pattern: str, columns: Sequence[str]) -> list[str]:
    return [pattern] if pattern in columns else [column for column in columns if fnmatchcase(column, pattern)]
