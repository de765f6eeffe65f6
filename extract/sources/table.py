"""A table with a row a sample, whose columns are named in the settings: CSV, TSV or Parquet.

Whatever a row says that cannot be followed is refused with the table's name, the row and the column; but numbers of a
vector that are none cost that row its vector alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, cast

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
from .source import NOTHING, Sample, Split
from .table_columns import Decimal, Table, read_table
from .table_values import absent_in, attributes_in, columns_of, files_in, vectors_in

Column = Annotated[str, Field(min_length=1)]
TargetName = Annotated[str, Like(r"(?!(label|class)$)[a-z][a-z0-9_]{0,99}", "colour, in lower-case letters")]
AttributeName = Annotated[str, Like(ATTRIBUTE_NAME, "thickness_mm; {thickness_mm: COLUMN} names a column otherwise")]

_LABELS: Mapping[str, int | None] = {
    **dict.fromkeys(("0", "0.0", "false", "no"), NORMAL),
    **dict.fromkeys(("1", "1.0", "true", "yes"), DEFECT),
    **dict.fromkeys(("", "-1", "-1.0", "nan", "none", "null", "unknown"), None),
}
_NO_STREAMS: frozenset[str] = frozenset()  # one for all rows: each of its own takes up as much as ten numbers


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
        settings, samples = self.settings, samples_of(self.settings, read_table(self._path))
        if settings.split is not None:
            return samples
        seed = settings.split_seed
        say(f"{self._path}: data.split names no column: splits are drawn, with data.split_seed = {seed}.")
        return draw_splits(samples, settings)


def samples_of(settings: TableSettings, table: Table) -> list[Sample]:
    """A sample a row, all of them in train where no column says their splits; raises as `Source.samples`."""
    if not len(table):
        raise SourceError(f"{table.path} has no row below its header.")
    _check_columns(settings, table)
    keys, splits = _keys(settings, table), _splits(settings, table)
    kept = [row for row, split in enumerate(splits) if split != "leave_out"]
    if left_out := len(table) - len(kept):
        say(f"{table.path}: {count_of(left_out, 'row')} left out, as data.splits says.")
        table, keys, splits = table.of_rows(kept), [keys[row] for row in kept], [splits[row] for row in kept]
    vectors, unreadable = vectors_in(table, settings.vectors, decimal=settings.decimal)
    # Columns of vectors are most of a table: as text they go before a million samples are made.
    table = table.of_columns({column for _, column in _single_columns(settings)})
    targets = _targets(settings, table)
    tell_if_none_is_normal(table.path, targets)
    absent = absent_in(table, settings.streams)
    for row, why in unreadable.items():
        absent.setdefault(row, {}).update(why)
    shared: dict[str, str] = {}  # the name of a group is once in memory
    named = zip(table[settings.group or settings.key], table[settings.key], strict=True)
    groups = [shared.setdefault(group, group) or key for group, key in named]
    files = files_in(table, settings.streams, root=settings.root)
    attributes = attributes_in(table, settings.column_of, decimal=settings.decimal)
    columns = (keys, splits, groups, files, targets, attributes, vectors)
    return [
        Sample(
            key=key,
            split=cast(Split, split),
            group=group,
            files=files,
            targets=known,
            attributes=attributes,
            absent=absent.get(row, NOTHING),
            unreadable=frozenset(unreadable[row]) if row in unreadable else _NO_STREAMS,
            vectors=numbers,
        )
        for row, (key, split, group, files, known, attributes, numbers) in enumerate(zip(*columns, strict=True))
    ]


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
    table = read_table(file)
    samples = [replace(sample, split="test") for sample in samples_of(plain, table)]
    there = [name for name in dict.fromkeys(known) if name in table.columns]
    told = [f"{file}: not looked at: {listed(map(str, there))}"] if there else []
    return NewSamples(settings.noun, root, samples, told=told)


def _check_columns(settings: TableSettings, table: Table) -> None:
    """Refuse columns that are named in the settings and not in the table, or hold lists, and names that several columns
    have."""
    path, columns = table.path, table.columns
    asked = _single_columns(settings)
    for setting, column in asked:
        if column not in columns:
            raise SourceError(
                f"{path} has no column {column!r}, which {setting} names.{nearest_hint(column, columns)} It has "
                f"{listed(columns)}."
            )
    for stream, patterns in settings.vectors.items():
        for pattern in patterns:
            if not columns_of([pattern], columns):
                raise SourceError(f"{path} has no column {pattern!r}, which data.vectors.{stream} names.")
        asked += [(f"data.vectors.{stream}", column) for column in columns_of(patterns, columns)]
    # As text, a list would be a class or an attribute of its own, and an empty one would not be told from no value.
    for setting, column in asked:
        if rows := table.lists.get(column):
            raise table.refused(rows[0], column, f"{setting} takes one value a row, so give each its own column")
    if repeated := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise SourceError(f"{path}: several columns are called {listed(repeated)}; keep one of each.")
    if not (settings.streams or settings.vectors):
        raise SourceError(f"{path}: name the columns of files in data.streams, such as data.streams.image=photo.")


def _single_columns(settings: TableSettings) -> list[tuple[str, str]]:
    """The columns that settings name, other than those of vectors, each with its setting."""
    named = {f"data.{name}": getattr(settings, name) for name in ("key", "split", "group", "label", "class_name")}
    asked = [(setting, column) for setting, column in named.items() if column is not None]
    asked += [("data.attributes", column) for column in settings.column_of.values()]
    asked += [(f"data.streams.{stream}", column) for stream, column in settings.streams.items()]
    asked += [(f"data.targets.{target}", column) for target, column in settings.targets.items()]
    return asked


def _keys(settings: TableSettings, table: Table) -> list[str]:
    """The key of each row; refuses what is none, or is another row's."""
    keys = [composed(key) for key in table[settings.key]]
    first_row: dict[str, int] = {}
    for row, key in enumerate(keys):
        if not key.isprintable() or not key:
            raise table.refused(row, settings.key, "a key is a printable name")
        if (first := first_row.setdefault(key, row)) != row:
            raise table.refused(row, settings.key, f"as in {table.place(first)}; give each row a key of its own")
    return keys


def _splits(settings: TableSettings, table: Table) -> list[Split | Literal["leave_out"]]:
    if settings.split is None:
        return ["train"] * len(table)
    meant: dict[str, Split | Literal["leave_out"]] = {}
    for row, word in enumerate(table[settings.split]):
        if word not in meant:
            found = settings.splits.get(word) or SPLIT_WORDS.get(word.lower())
            if found is None:
                why = "write train, val or test, or say in data.splits which of them it means"
                raise table.refused(row, settings.split, why)
            meant[word] = found
    return [meant[word] for word in table[settings.split]]


def _targets(settings: TableSettings, table: Table) -> list[dict[str, TargetValue]]:
    """Class, label and further targets of each row; rows of which the same is known share what is told."""
    names = table[settings.class_name] if settings.class_name else [""] * len(table)
    words = table[settings.label] if settings.label else [""] * len(table)
    further = [classes_as_written(table[column]) for column in settings.targets.values()]
    by_class = targets_of_classes(names, normal=settings.normal_classes)
    told: dict[tuple[str | None, ...], dict[str, TargetValue]] = {}
    rows = list(zip(names, words, *further, strict=True))
    for row, known in enumerate(rows):
        if known not in told:
            classes = by_class[row] | dict(zip(settings.targets, known[2:], strict=True))
            told[known] = _with_label(settings, table, row, classes) if settings.label else classes
    return [told[known] for known in rows]


def _with_label(
    settings: TableSettings, table: Table, row: int, known: dict[str, TargetValue]
) -> dict[str, TargetValue]:
    """What is known of a row by its class and so on, and by what stands in the column of labels."""
    assert settings.label is not None
    word = table[settings.label][row].lower()
    if word not in _LABELS and not is_unlabelled(word):
        why = "write 0 for normal, 1 for a defect, or nothing where it is not known"
        raise table.refused(row, settings.label, why)
    label = _LABELS.get(word)
    if label is None:
        return known
    if label == DEFECT and is_one_of(str(known.get("class", "")), (GOOD, *settings.normal_classes)):
        why = f"and its class, {known['class']}, is normal; correct one of the two"
        raise table.refused(row, settings.label, why)
    told: dict[str, TargetValue] = {"label": label}
    return known | told | ({} if settings.class_name else {"class": GOOD if label == NORMAL else "defect"})
