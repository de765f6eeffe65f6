"""The Intel layout: a manifest.csv with one row a weld, and a folder a run."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from ...errors import NotFoundError, SourceError
from ..sample import SPLITS, Sample, Split
from .classes import CLASS_NAMES, GOOD_CODE
from .run_folder import collect_run
from .run_name import class_code_of

MANIFEST_NAME = "manifest.csv"
TEXT_SETTINGS = ("WELD_TYPE", "STEEL_TYPE")
NUMERIC_SETTINGS = ("THICKNESS_MM", "CURRENT_A", "VOLTAGE_V", "GAS_BAR", "ROBOT_SPEED_CPM")
SETTINGS = ("WELD_TYPE", "THICKNESS_MM", "STEEL_TYPE", "CURRENT_A", "VOLTAGE_V", "GAS_BAR", "ROBOT_SPEED_CPM")
_COLUMNS = ("CATEGORY", *SETTINGS, "DIRECTORY", "SUBDIRS", "SPLIT")


@dataclass(frozen=True)
class ManifestSource:
    """A folder with a manifest.csv; the manifest says what there should be, the folders what there is."""

    root: Path

    def samples(self) -> Sequence[Sample]:
        """One sample a row, in the manifest's order; what a row's folder lacks is in `absent`.

        Raises:
            NotFoundError: if there is no manifest.
            SourceError: if the manifest is not to be trusted; the message names the line, the value and the mend.
        """
        path = self.root / MANIFEST_NAME
        rows = list(_read_rows(path))
        if not rows:
            raise SourceError(f"{path} lists no welds: it has no row below its header.")
        _check_unique(rows)
        return [self._sample(row) for row in rows]

    def _sample(self, row: "_Row") -> Sample:
        key = _key(row)
        class_name = _class_name(row, run=PurePosixPath(key).name)
        run = collect_run(self.root, key=key)
        return Sample(
            key=key,
            split=_split(row),
            class_name=class_name,
            session=row["DIRECTORY"],
            label=int(class_name != CLASS_NAMES[GOOD_CODE]),
            files=run.files,
            absent=run.absent,
            attributes={name: row[name] if name in TEXT_SETTINGS else _number(row, name) for name in SETTINGS},
            masks=run.masks,
        )


@dataclass(frozen=True)
class _Row:
    """A row's values by column, stripped, with its place for messages."""

    values: Mapping[str, str]
    place: str

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def _read_rows(path: Path) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns, path=path)
        for fields in reader:
            if any(field.strip() for field in fields):
                yield _row(fields, columns=columns, place=f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}; check the quotation marks.") from error


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: check data.root, or make data with `weldcache synth`.") from error
    if not content.strip():
        raise SourceError(f"{path} is empty: restore it from the data set.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = 1 + content.count(b"\n", 0, error.start)
        raise SourceError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8."
        ) from error


def _check_columns(columns: Sequence[str], *, path: Path) -> None:
    missing = [name for name in _COLUMNS if name not in columns]
    if missing:
        raise SourceError(
            f"{path}, line 1: the columns {', '.join(missing)} are missing; there are {', '.join(columns)}. "
            "Name every column in the first line."
        )
    repeated = [name for name in _COLUMNS if columns.count(name) > 1]
    if repeated:
        raise SourceError(f"{path}, line 1: the columns {', '.join(repeated)} occur more than once; keep one of each.")


def _row(fields: Sequence[str], *, columns: Sequence[str], place: str) -> _Row:
    if len(fields) < len(columns) or any(field.strip() for field in fields[len(columns) :]):
        raise SourceError(
            f"{place}: {len(fields)} values for {len(columns)} columns; give each column one value, "
            "and put a value that holds a comma in quotation marks."
        )
    values = {column: field.strip() for column, field in zip(columns, fields, strict=False)}
    return _Row(values=values, place=place)


def _check_unique(rows: Sequence[_Row]) -> None:
    seen: dict[str, _Row] = {}
    for row in rows:
        first = seen.setdefault(row["SUBDIRS"], row)
        if first is not row:
            raise SourceError(
                f"{row.place}: SUBDIRS is {row['SUBDIRS']!r}, as in {first.place}; remove one of the two."
            )


def _key(row: _Row) -> str:
    """SUBDIRS, which is DIRECTORY/RUN and stays within the data set."""
    key, directory = row["SUBDIRS"], row["DIRECTORY"]
    parts = key.split("/")
    if PureWindowsPath(key).anchor or "\\" in key or any(part in ("", ".", "..") for part in parts):
        raise SourceError(
            f"{row.place}: SUBDIRS is {key!r}; write a path below the data set's folder, such as 'DIRECTORY/RUN'."
        )
    if "/".join(parts[:-1]) != directory:
        raise SourceError(
            f"{row.place}: SUBDIRS is {key!r} and DIRECTORY is {directory!r}; SUBDIRS must be DIRECTORY/RUN, "
            "or welds would be assigned to the wrong session."
        )
    return key


def _split(row: _Row) -> Split:
    for split in SPLITS:
        if row["SPLIT"].lower() == split:
            return split
    raise SourceError(f"{row.place}: SPLIT is {row['SPLIT']!r}; write TRAIN, VAL or TEST.")


def _number(row: _Row, column: str) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise SourceError(f"{row.place}: {column} is {row[column]!r}; write a number such as 7 or 12.5.")
    return number


def _class_name(row: _Row, *, run: str) -> str:
    """The class that the run's code names; CATEGORY's where the run has no known code.

    The two must not contradict each other: CATEGORY may word a defect freely, but must not name another class, nor
    call a good weld a defect or the other way round.
    """
    category = row["CATEGORY"]
    words = _words(category)
    if not words:
        raise SourceError(f"{row.place}: CATEGORY is {category!r}; write good or the name of a defect.")
    named = _NAMES_BY_LETTERS.get("".join(words))
    code = class_code_of(run)
    coded = CLASS_NAMES.get(code) if code else None
    if coded is None:
        return named or "_".join(words)
    good = CLASS_NAMES[GOOD_CODE]
    if coded != (named or coded) or (coded == good) != (named == good):
        raise SourceError(
            f"{row.place}: CATEGORY is {category!r} and the run {run} has the code {code}, which is {coded}; "
            "correct the one that is wrong."
        )
    return coded


def _words(category: str) -> list[str]:
    """Words of a category in one writing: "Good", "good_weld" and "good weld" are the same."""
    words = re.findall(r"[a-z0-9]+", category.lower())
    return ["w" if word == "with" else word for word in words if word not in ("weld", "welds")]


_NAMES_BY_LETTERS = {name.replace("_", ""): name for name in CLASS_NAMES.values()}
