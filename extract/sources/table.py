"""A table with a row a sample, whose columns are named in the settings: CSV, TSV or Parquet.

Whatever a row says that cannot be followed is refused with the table's name, the row and the column; but numbers of a
vector that are none cost that row its vector alone.
"""

import math
import ntpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from ...cache.index import ATTRIBUTE_NAME
from ...cache.targets import DEFECT, NORMAL, TargetSpec, TargetValue
from ...configs.section import Like, PlainName
from ...errors import SourceError
from ...progress import say
from ...wording import count_of, listed, nearest_hint
from ..settings import SOURCE
from .classes import (
    GOOD,
    ClassSettings,
    ClassSource,
    classes_as_written,
    is_one_of,
    is_unlabelled,
    targets_of_classes,
    tell_if_none_is_normal,
)
from .group_split import SPLIT_WORDS, SplitSettings, draw_splits
from .listing import composed
from .new import NewSamples
from .source import Sample, Split
from .table_rows import Decimal, TableRow, is_number, number_in, read_rows

Column = Annotated[str, Field(min_length=1)]
TargetName = Annotated[str, Like(r"(?!(label|class)$)[a-z][a-z0-9_]{0,99}", "colour, in lower-case letters")]
AttributeName = Annotated[str, Like(ATTRIBUTE_NAME, "thickness_mm; {thickness_mm: COLUMN} names a column otherwise")]

_LABELS: Mapping[str, int | None] = {
    **dict.fromkeys(("0", "0.0", "false", "no"), NORMAL),
    **dict.fromkeys(("1", "1.0", "true", "yes"), DEFECT),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "none", "null", "unknown"), None),
}
_NO_FAULTS: frozenset[str] = frozenset()  # one for all rows: each of its own takes up as much as ten numbers
_PATTERN = re.compile(r"[*?\[]")


class TableSettings(SplitSettings, ClassSettings):
    """A table with a row a sample: where it is, and what its columns mean."""

    lists_new: ClassVar[str] = "weldcache.extract.sources.table:new_rows"

    source: str = Field("table", description=SOURCE)
    table: str = Field(
        "table.csv", min_length=1, description="The table's file (csv, tsv or parquet), below data.root."
    )
    noun: Annotated[str, Field(max_length=40), Like(r"[a-z][a-z ]*", "picture, in lower-case letters")] = Field(
        "sample", description="What a row of it is called."
    )
    key: Column = Field("key", description="Column with a name for each row, which no other row has.")
    split: Column | None = Field(None, description="Column that says train, val or test; null: splits are drawn.")
    splits: dict[str, Literal["train", "val", "test", "leave_out"]] = Field(
        {}, description="What other words in the column of splits mean, such as {fold_1: train, fold_2: val}."
    )
    group: Column | None = Field(
        None, description="Column of what belongs together and is never in two splits; null: each row stands alone."
    )
    label: Column | None = Field(
        None, description="Column with 0 or false for normal and 1 or true for a defect; null: as the class says."
    )
    class_name: Column | None = Field(None, description="Column with the name of the class.")
    targets: dict[TargetName, Column] = Field(
        {}, description="For each further target the column with its classes, by name; nothing where it is not known."
    )
    attributes: tuple[AttributeName, ...] | dict[AttributeName, Column] = Field(
        (),
        description="Columns of what is known without media, or names for them and the column of each, such as "
        "{thickness: 'Dicke [mm]'}.",
    )
    streams: dict[PlainName, Column] = Field(
        {}, description="For each stream the column with its file, or a pattern of files, below data.root."
    )
    vectors: dict[PlainName, tuple[Column, ...]] = Field(
        {}, description="For each stream of numbers its columns, in order; * stands for any characters."
    )
    decimal: Decimal = Field(
        "point", description="What stands before the fraction of a number in the columns of attributes and vectors."
    )

    @property
    def column_of(self) -> Mapping[str, Column]:
        """The column of each attribute."""
        return self.attributes if isinstance(self.attributes, dict) else dict(zip(*[self.attributes] * 2, strict=True))


@dataclass(frozen=True)
class TableSource(ClassSource):
    """One sample a row, in their order; splits are drawn by group where no column says them."""

    settings: TableSettings

    @property
    def noun(self) -> str:
        return self.settings.noun

    @cached_property
    def _path(self) -> Path:
        return self.settings.root / self.settings.table

    def targets(self) -> Sequence[TargetSpec]:
        found = {name: {sample.targets[name] for sample in self.samples()} - {None} for name in self.settings.targets}
        classes = {name: tuple(sorted(map(str, values))) for name, values in found.items() if values}
        return (*super().targets(), *(TargetSpec(name, "int16", classes=each) for name, each in classes.items()))

    def list_samples(self) -> Sequence[Sample]:
        settings, samples = self.settings, self.listed_rows()
        if settings.split is not None:
            return samples
        seed = settings.split_seed
        say(f"{self._path}: data.split names no column: splits are drawn, with data.split_seed = {seed}.")
        return draw_splits(samples, settings)

    def listed_rows(self) -> Sequence[Sample]:
        """A sample a row, all of them in train where no column says their splits."""
        settings = self.settings
        rows = list(read_rows(self._path))
        if not rows:
            raise SourceError(f"{self._path} has no row below its header.")
        _check_columns(settings, rows, path=self._path)
        _check_keys(settings, rows)
        splits = [_split(settings, row) for row in rows]
        if left_out := splits.count("leave_out"):
            say(f"{self._path}: {count_of(left_out, 'row')} left out, as data.splits says.")
        kept = [(row, split) for row, split in zip(rows, splits, strict=True) if split != "leave_out"]
        rows = [row for row, _ in kept]
        targets = _targets(settings, rows)
        tell_if_none_is_normal(self._path, targets)
        missing: list[SourceError] = []
        vectors = {stream: _columns_of(patterns, rows[0].columns) for stream, patterns in settings.vectors.items()}
        samples = [
            Sample(
                key=composed(row[settings.key]),
                split=split or "train",
                group=(row[settings.group] if settings.group else "") or row[settings.key],
                files=self._files(row, missing),
                targets=known,
                attributes=attributes,
                absent=_absent(settings, row) | (faults := _faults(vectors, row, settings.decimal)),
                unreadable=frozenset(faults) if faults else _NO_FAULTS,
                vectors={
                    stream: tuple(number_in(row[column], settings.decimal) for column in columns)
                    for stream, columns in vectors.items()
                    if stream not in faults
                },
            )
            for (row, split), known, attributes in zip(kept, targets, _attributes(settings, rows), strict=True)
        ]
        if missing:
            more = f" ({len(missing) - 1:,} more like that)" if len(missing) > 1 else ""
            raise SourceError(f"{str(missing[0]).rstrip('.')}{more}.")
        return samples

    def _files(self, row: TableRow, missing: list[SourceError]) -> dict[str, tuple[Path, ...]]:
        """The files of each stream; those that are not there go to `missing`."""
        root, found = self.settings.root, dict[str, tuple[Path, ...]]()
        for stream, column in self.settings.streams.items():
            name = row[column].replace("\\", "/")  # as Windows writes them
            # As text: paths of every row would take most of the time that a table of a million takes.
            leads_out = name.startswith("/") or ntpath.splitdrive(name)[0] or ".." in name.split("/")
            if leads_out or "\0" in name:
                raise row.refused(column, f"write a path below {root}, such as 'images/1.png'")
            if (path := root / name).is_file():
                found[stream] = (path,)
            elif name and _PATTERN.search(name):
                found[stream] = tuple(sorted(path for path in root.glob(name) if path.is_file()))
            if name and not found.get(stream):
                missing.append(row.refused(column, f"there is no such file below {root}"))
        return found


def new_rows(settings: TableSettings, path: Path, *, num_views: int) -> NewSamples:
    """The rows of a table of samples that nobody has judged yet; a pattern may name any number of views.

    A folder holds it under the name that data.table says. The columns of labels, classes, targets, attributes, groups
    and splits need not be there.

    Raises:
        NotFoundError: if there is no such file.
        SourceError: as `TableSource.samples`.
    """
    named = Path(settings.table)
    file = path / named if path.is_dir() else path
    # Files are named from the data set's folder, of which the table may lie in a folder of its own.
    root = file.parents[len(named.parts) - 1] if file.parts[-len(named.parts) :] == named.parts else file.parent
    known = [settings.split, settings.group, settings.label, settings.class_name, *settings.targets.values()]
    plain = settings.model_copy(
        update={
            "root": root,
            "table": str(file.relative_to(root)),
            "splits": {},
            "targets": {},
            "attributes": (),
            **dict.fromkeys(("split", "group", "label", "class_name")),
        }
    )
    samples = [replace(sample, split="test") for sample in TableSource(plain).listed_rows()]
    columns = next(read_rows(file)).columns
    there = [name for name in dict.fromkeys(known) if name in columns]
    told = [f"{file}: not looked at: {listed(map(str, there))}"] if there else []
    return NewSamples(settings.noun, root, samples, told=told)


def _check_columns(settings: TableSettings, rows: Sequence[TableRow], *, path: Path) -> None:
    """Refuse columns that are named in the settings and not in the table, or hold lists, and names that several columns
    have."""
    columns = rows[0].columns
    named = {f"data.{name}": getattr(settings, name) for name in ("key", "split", "group", "label", "class_name")}
    asked = [(setting, column) for setting, column in named.items() if column is not None]
    asked += [("data.attributes", column) for column in settings.column_of.values()]
    asked += [(f"data.streams.{stream}", column) for stream, column in settings.streams.items()]
    asked += [(f"data.targets.{target}", column) for target, column in settings.targets.items()]
    for setting, column in asked:
        if column not in columns:
            raise SourceError(
                f"{path} has no column {column!r}, which {setting} names.{nearest_hint(column, columns)} It has "
                f"{listed(columns)}."
            )
    for stream, patterns in settings.vectors.items():
        for pattern in patterns:
            if not _columns_like(pattern, columns):
                raise SourceError(f"{path} has no column {pattern!r}, which data.vectors.{stream} names.")
        asked += [(f"data.vectors.{stream}", column) for column in _columns_of(patterns, columns)]
    # As text, a list would be a class or an attribute of its own, and an empty one would not be told from no value.
    for row in (row for row in rows if row.lists):
        for setting, column in asked:
            if column in row.lists:
                raise row.refused(column, f"{setting} takes one value a row, so give each its own column")
    if repeated := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise SourceError(f"{path}: several columns are called {listed(repeated)}; keep one of each.")
    if not (settings.streams or settings.vectors):
        raise SourceError(f"{path}: name the columns of files in data.streams, such as data.streams.image=photo.")


def _check_keys(settings: TableSettings, rows: Sequence[TableRow]) -> None:
    seen: dict[str, TableRow] = {}
    for row in rows:
        key = composed(row[settings.key])
        if not key.isprintable() or not key:
            raise row.refused(settings.key, "a key is a printable name")
        if seen.setdefault(key, row) is not row:
            raise row.refused(settings.key, f"as in {seen[key].place}; give each row a key of its own")


def _split(settings: TableSettings, row: TableRow) -> Split | Literal["leave_out"] | None:
    if settings.split is None:
        return None
    word = row[settings.split]
    found = settings.splits.get(word) or SPLIT_WORDS.get(word.lower())
    if found is None:
        raise row.refused(settings.split, "write train, val or test, or say in data.splits which of them it means")
    return found


def _targets(settings: TableSettings, rows: Sequence[TableRow]) -> list[dict[str, TargetValue]]:
    names = [row[settings.class_name] if settings.class_name else "" for row in rows]
    targets = targets_of_classes(names, normal=settings.normal_classes)
    for name, column in settings.targets.items():
        for known, value in zip(targets, classes_as_written([row[column] for row in rows]), strict=True):
            known[name] = value
    if settings.label is None:
        return targets
    for row, known in zip(rows, targets, strict=True):
        word = row[settings.label].lower()
        if word not in _LABELS and not is_unlabelled(word):
            raise row.refused(settings.label, "write 0 for normal, 1 for a defect, or nothing where it is not known")
        label = _LABELS.get(word)
        if label is None:
            continue
        if label == DEFECT and is_one_of(str(known.get("class", "")), (GOOD, *settings.normal_classes)):
            raise row.refused(settings.label, f"and its class, {known['class']}, is normal; correct one of the two")
        known["label"] = label
        if settings.class_name is None:
            known["class"] = GOOD if label == NORMAL else "defect"
    return targets


def _attributes(settings: TableSettings, rows: Sequence[TableRow]) -> Iterator[dict[str, float | str]]:
    """What is known of each row without media: numbers where a column holds nothing else, and NaN for none."""
    numeric = {name: _holds_numbers(rows, column, settings.decimal) for name, column in settings.column_of.items()}
    for row in rows:
        yield {
            name: (number_in(row[column], settings.decimal) if row[column] else math.nan)
            if numeric[name]
            else row[column]
            for name, column in settings.column_of.items()
        }


def _holds_numbers(rows: Sequence[TableRow], column: str, decimal: Decimal) -> bool:
    """Whether a column holds nothing but numbers; numbers of the other writing would pass for words, and are refused."""
    told = [row for row in rows if row[column]]
    strange = next((row for row in told if not is_number(row[column], decimal)), None)
    other: Decimal = "comma" if decimal == "point" else "point"
    if strange is not None and all(is_number(row[column], other) for row in told):
        raise strange.refused(column, f"if a {other} stands before the fraction there, set data.decimal={other}")
    return strange is None


def _absent(settings: TableSettings, row: TableRow) -> dict[str, str]:
    """For each stream whose column names no file, which that is."""
    return {stream: f"{row.place}: {column} is empty" for stream, column in settings.streams.items() if not row[column]}


def _faults(vectors: Mapping[str, Sequence[str]], row: TableRow, decimal: Decimal) -> dict[str, str]:
    """For each vector that cannot be read, its first column that holds no number; the other rows go on."""
    faults = {}
    for stream, columns in vectors.items():
        strange = next((column for column in columns if not is_number(row[column], decimal)), None)
        if strange is not None:
            example = "12.5" if decimal == "point" else "12,5"
            faults[stream] = str(row.refused(strange, f"write a number such as 7 or {example}, or see data.decimal"))
    return faults


def _columns_of(patterns: Sequence[str], columns: Sequence[str]) -> list[str]:
    return [column for pattern in patterns for column in _columns_like(pattern, columns)]


def _columns_like(pattern: str, columns: Sequence[str]) -> list[str]:
    return [pattern] if pattern in columns else [column for column in columns if fnmatchcase(column, pattern)]
