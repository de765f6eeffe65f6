"""The Intel layout: a manifest.csv with one row a weld, and a folder a run."""

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import ClassVar, Literal

from ....cache.targets import TargetSpec, TargetValue
from ....documents import decoded, read_regular_file
from ....errors import NotFoundError, SourceError, reason_of
from ....progress import say
from ....wording import brief, count_of, shortened
from ..classes import ClassSource
from ..listing import composed
from ..source import SPLITS, Sample, SeriesFormat, Split
from .classes import CLASS_NAMES, GOOD, WeldsSettings, class_code_of, class_name_of, is_unlabelled
from .latents import CAUSAL_BREAK, read_causal_breaks
from .run_folder import collect_run, machine_with

MANIFEST_NAME = "manifest.csv"
TEXT_SETTINGS = ("WELD_TYPE", "STEEL_TYPE")
SETTINGS = ("WELD_TYPE", "THICKNESS_MM", "STEEL_TYPE", "CURRENT_A", "VOLTAGE_V", "GAS_BAR", "ROBOT_SPEED_CPM")
_COLUMNS = ("CATEGORY", *SETTINGS, "DIRECTORY", "SUBDIRS", "SPLIT")

_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?")
_LONGEST_NAME = 255  # bytes that file systems take
_BEARING_OUT = 9  # codes that agree with CATEGORY for each that does not, before they are taken for class codes
_DEFAULTS = WeldsSettings()


@dataclass(frozen=True)
class ManifestSource(ClassSource):
    """A folder with a manifest.csv; the manifest says what there should be, the folders what there is.

    One sample a row, in the manifest's order; what a row's folder lacks is in `absent`.
    """

    noun: ClassVar[str] = "weld"

    root: Path
    normal_classes: tuple[str, ...] = _DEFAULTS.normal_classes
    unlabelled: Literal["refuse", "leave_out"] = _DEFAULTS.unlabelled
    run_codes: Literal["auto", "check", "ignore"] = _DEFAULTS.run_codes
    further_channels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> Mapping[str, SeriesFormat]:
        return {"sensor": machine_with(self.further_channels)}

    def targets(self) -> Sequence[TargetSpec]:
        is_known = any(CAUSAL_BREAK.name in sample.targets for sample in self.samples())
        return (*super().targets(), *([CAUSAL_BREAK] if is_known else []))

    @cached_property
    def _causal_breaks(self) -> Mapping[str, dict[str, TargetValue]]:
        return read_causal_breaks(self.root)

    def list_samples(self) -> Sequence[Sample]:
        path = self.root / MANIFEST_NAME
        rows = list(_read_rows(path))
        if not rows:
            raise SourceError(f"{path} lists no welds: it has no row below its header.")
        _check_unique(rows)
        classes = {row: name for row in rows if (name := self._class_name(row)) is not None}
        if left_out := len(rows) - len(classes):
            say(f"{path}: {count_of(left_out, 'weld')} without a class left out.")
        _check_codes(classes, mode=self.run_codes)
        if not classes:
            raise SourceError(f"{path} lists no welds whose class is known.")
        if GOOD not in classes.values():
            found = shortened(sorted(set(classes.values())), most=5)
            say(f"{path}: no weld is normal; the classes are {found}. Name the normal ones in data.normal_classes.")
        return [self._sample(row, class_name) for row, class_name in classes.items()]

    def _class_name(self, row: "_Row") -> str | None:
        """The class that CATEGORY means; None for a weld that is to be left out because its class is not known."""
        category = row["CATEGORY"]
        name = class_name_of(category, normal=self.normal_classes)
        if name != GOOD and is_unlabelled(category):
            if self.unlabelled == "leave_out":
                return None
            raise SourceError(
                f"{row.place}: CATEGORY is {category!r}, and a weld that may be normal is no defect. Write its class, "
                "or leave such welds out with --set data.unlabelled=leave_out."
            )
        if not name:
            raise SourceError(f"{row.place}: CATEGORY is {category!r}; write good or the name of a defect.")
        return name

    def _sample(self, row: "_Row", class_name: str) -> Sample:
        key = _key(row)
        run = collect_run(self.root, key=key)
        return Sample(
            key=key,
            split=_split(row),
            group=composed(row["DIRECTORY"]),
            files=run.files,
            targets={
                "label": int(class_name != GOOD),
                "class": class_name,
                **self._causal_breaks.get(key, {}),
            },
            absent=run.absent,
            unreadable=frozenset(run.unreadable),
            notes=run.notes,
            attributes={name: row[name] if name in TEXT_SETTINGS else _number(row, name) for name in SETTINGS},
            masks=run.masks,
        )


@dataclass(frozen=True, eq=False)
class _Row:
    """A row's values by column, stripped, with its place for messages."""

    values: Mapping[str, str]
    place: str

    def __getitem__(self, column: str) -> str:
        return self.values[column]


def keys_of_new(path: Path) -> tuple[list[str], list[str]]:
    """Keys of the welds of a manifest that needs no more than the column SUBDIRS; and which others of a data set's
    manifest it has.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: as `ManifestSource.samples`.
    """
    rows = list(_read_rows(path, needed=("SUBDIRS",)))
    _check_unique(rows)
    others = [name for name in _COLUMNS if name != "SUBDIRS" and rows and name in rows[0].values]
    return [_key(row) for row in rows], others


def _read_rows(path: Path, *, needed: Sequence[str] = _COLUMNS) -> Iterator[_Row]:
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_columns(columns, needed=needed, path=path)
        # No split is the beginning of another one; a number cut short is a number.
        if columns[-1] in _COLUMNS and columns[-1] != "SPLIT" and not text.endswith(("\n", "\r")):
            raise SourceError(
                f"{path}, line {len(text.splitlines())}: the last line has no end, so its {columns[-1]} may be cut "
                "short; see that the file is whole, and end it with a line break."
            )
        for fields in reader:
            if any(field.strip() for field in fields):
                yield _row(fields, columns=columns, place=f"{path}, line {reader.line_num}")
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}; check the quotation marks.") from error


def _read_text(path: Path) -> str:
    try:
        content = read_regular_file(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: check data.root, or make data with `weldcache synth`.") from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {reason_of(error)}.") from error
    if not content.strip():
        raise SourceError(f"{path} is empty: restore it from the data set.")
    try:
        return decoded(content, encoding="utf-8-sig")
    except ValueError as error:
        raise SourceError(f"{path}, {error}.") from error


def _check_columns(columns: Sequence[str], *, needed: Sequence[str], path: Path) -> None:
    missing = [name for name in needed if name not in columns]
    separator = next((sign for sign in ";\t|" if len(columns) == 1 and columns[0].count(sign) > 2), None)
    if missing and separator:
        raise SourceError(
            f"{path}, line 1: the columns are separated by {separator!r}; save the file with commas between them, and "
            "with a point in numbers such as 24.2."
        )
    if missing:
        raise SourceError(
            f"{path}, line 1: the columns {', '.join(missing)} are missing; there are {', '.join(columns)}. "
            "Name every column in the first line."
        )
    repeated = [name for name in _COLUMNS if columns.count(name) > 1]
    if repeated:
        raise SourceError(f"{path}, line 1: the columns {', '.join(repeated)} occur more than once; keep one of each.")


def _row(fields: Sequence[str], *, columns: Sequence[str], place: str) -> _Row:
    # Empty values at the end are harmless only behind a column that is never empty: behind another one they may be what
    # a comma too many inside a number has pushed out, and every value would be its neighbour's.
    surplus = fields[len(columns) :]
    if len(fields) < len(columns) or (surplus and (any(map(str.strip, surplus)) or columns[-1] not in _COLUMNS)):
        raise SourceError(
            f"{place}: {len(fields)} values for {len(columns)} columns; give each column one value, "
            "and put a value that holds a comma in quotation marks."
        )
    values = {column: field.strip() for column, field in zip(columns, fields, strict=False)}
    _check_one_line(values, num_columns=len(columns), place=place)
    return _Row(values=values, place=place)


def _check_one_line(values: Mapping[str, str], *, num_columns: int, place: str) -> None:
    """Between two quotation marks too many, whole lines are one value, and their welds would be lost.

    A remark may have several lines, so in a column that is not used only what holds a whole row's commas is refused.
    """
    for column, value in values.items():
        several = "\n" in value or "\r" in value
        if several and (column in _COLUMNS or value.count(",") >= num_columns - 1):
            raise SourceError(
                f"{place}: {column} goes over several lines ({brief(value)}); write it in one, and see that every "
                "quotation mark has its other."
            )


def _check_unique(rows: Sequence[_Row]) -> None:
    seen: dict[str, _Row] = {}
    for row in rows:
        first = seen.setdefault(composed(row["SUBDIRS"]), row)
        if first is not row:
            raise SourceError(
                f"{row.place}: SUBDIRS is {row['SUBDIRS']!r}, as in {first.place}; remove one of the two."
            )


def _key(row: _Row) -> str:
    """SUBDIRS, which is DIRECTORY/RUN and stays within the data set, in the composed form of Unicode.

    A file system may hold the name in the other form, as after a copy from a Mac; `collect_run` finds it under both.
    """
    key = composed(row["SUBDIRS"])
    directory = composed(row.values.get("DIRECTORY", key.rpartition("/")[0]))  # which one of new welds may lack
    parts = key.split("/")
    if PureWindowsPath(key).anchor or "\\" in key or any(part in ("", ".", "..") for part in parts):
        raise SourceError(
            f"{row.place}: SUBDIRS is {key!r}; write a path below the data set's folder, such as 'DIRECTORY/RUN'."
        )
    if "\0" in key or any(len(part.encode()) > _LONGEST_NAME for part in parts):
        raise SourceError(
            f"{row.place}: SUBDIRS is {brief(key)}; no folder can be of that name, which has at most {_LONGEST_NAME} "
            "bytes and no NUL."
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
    number = float(row[column]) if _NUMBER.fullmatch(row[column]) else math.nan
    if not math.isfinite(number):
        raise SourceError(f"{row.place}: {column} is {brief(row[column])}; write a number such as 7 or 12.5.")
    return number


def _check_codes(classes: Mapping[_Row, str], *, mode: str) -> None:
    """Hold the codes of runs against the classes of their rows, which count in any case."""
    coded = [
        (row, name, CLASS_NAMES[code])
        for row, name in classes.items()
        if (code := class_code_of(PurePosixPath(row["SUBDIRS"]).name) or "") in CLASS_NAMES
    ]
    # A defect may be worded freely, but not as another class, and good and defect exclude each other.
    wrong = [
        (row, meant) for row, name, meant in coded if name != meant and (name in CLASS_NAMES.values() or meant == GOOD)
    ]
    borne_out = sum(name == meant for _, name, meant in coded)
    if wrong and (mode == "check" or (mode == "auto" and borne_out > _BEARING_OUT * len(wrong))):
        (row, meant), *more = wrong
        raise SourceError(
            f"{row.place}: CATEGORY is {row['CATEGORY']!r}, and the last digits of the run {row['SUBDIRS']!r} are the "
            f"code of {meant}{f' ({len(more):,} more rows are like that)' if more else ''}; correct the one that is "
            "wrong, or say that they are no class codes with --set data.run_codes=ignore."
        )
