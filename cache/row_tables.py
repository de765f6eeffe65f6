"""Who the rows of a store are, on the disk: index, targets and splits, each replaced as a whole and read strictly.

    index/keys  index/groups  index/attributes/<name>
    targets/<name>            and <name>_length of a ragged one
    splits/<name>             codes of parts

New tables are made in a folder of their own, which appears at once and is read from then on; then each takes the place
of the one before. So whenever a change is interrupted, all tables are the old ones or all are the new ones.

Stores of former schemas have everything in `index`: class, label and split as columns beside the keys.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec

from ..atomic import fsync_path, new_folder
from ..errors import NotFoundError, SourceError, StoreError
from ..wording import listed
from .index import Column, Index, class_and_label
from .layout import keeping_zeros, read_whole
from .nodes import inside, read_array_metadata
from .splits import LEFT_OUT, OFFICIAL, Split, parse_split
from .targets import LENGTH_SUFFIX, Target, check_values, read_spec

TABLES = ("index", "targets", "splits")
COLUMNS = ("keys", "groups")
NEXT_TABLES = "index.next"  # group in a store: tables that are about to take the place of the store's own
FORMER_COLUMNS = ("keys", "splits", "class_names", "sessions", "labels")  # of the schemas 2 and 3

_CHUNK_ROWS = 65_536
_CHUNK_BYTES = 1 << 20  # of a chunk of targets with many values a row
_MOST_PADDING = 1 << 30  # bytes of a column in memory beyond its own texts: each takes up as much as the longest


def write_tables(root: zarr.Group, index: Index, splits: Iterable[Split] = ()) -> None:
    """Write index, targets and splits into a group that has none; `index` holds the data set's own split."""
    for table in ("index/attributes", "targets", "splits"):
        root.require_group(table)
    for name, column in index.columns().items():
        _write(root, f"index/{name}", column)
    for target in index.targets.values():
        for name, values in target.arrays().items():
            attributes = target.spec.attributes() if name == target.spec.name else {}
            _write(root, f"targets/{name}", values, attributes=attributes)
    _write_splits(root, [Split(OFFICIAL, index.parts), *splits], keys=index.keys)


def _write_splits(root: zarr.Group, splits: Iterable[Split], *, keys: Column) -> None:
    for split in splits:
        _write(root, f"splits/{split.name}", split.codes(), attributes=split.attributes(keys))


def write_former_tables(root: zarr.Group, index: Index) -> None:
    """Write the index of a store of a former schema, which has class, label and split as columns."""
    root.require_group("index/attributes")
    columns = (index.keys, index.parts, index.class_names, index.groups, index.labels.astype(np.uint8))
    named = dict(zip(FORMER_COLUMNS, columns, strict=True))
    for name, column in {**index.columns(), **named}.items():
        if name != "groups":
            _write(root, f"index/{name}", column)


def replace_tables(path: Path, index: Index, splits: Iterable[Split]) -> None:
    """Put other tables in the place of those of the store at `path`: all at once, or none; `splits` are those that were
    made beside the data set's own."""
    _replace(path, lambda root: write_tables(root, index, splits))


def replace_splits(path: Path, splits: Iterable[Split], *, keys: Column) -> None:
    """Put other splits of the rows `keys` in the place of all those of the store at `path`."""
    _replace(path, lambda root: _write_splits(root, splits, keys=keys))


def _replace(path: Path, write: Callable[[zarr.Group], None]) -> None:
    _finish_replacing(path)
    with new_folder(inside(path, NEXT_TABLES)) as temporary:
        write(zarr.create_group(temporary))
    # From here on the new ones are read, wherever this ends.
    _finish_replacing(path)


def _finish_replacing(path: Path) -> None:
    following = inside(path, NEXT_TABLES)
    for table in TABLES:
        if (following / table).is_dir():
            current = inside(path, table)
            if current.is_dir():
                current.rename(following / f"replaced.{table}")
            (following / table).rename(current)
    fsync_path(path)
    rmtree(following, ignore_errors=True)


def read_index(path: Path, *, num_rows: int, split: str = OFFICIAL) -> Index:
    """Read who the rows of the store at `path` are, with their parts in `split`; rows beyond `num_rows` belong to an
    interrupted extension.

    Raises:
        NotFoundError: if the store has no such split.
        StoreError: if a column, a target or a split is damaged, or is something else.
    """
    index = _table(path, "index")
    attributes_folder = inside(index, "attributes")
    attributes = {name: _read(attributes_folder / name) for name in _arrays_in(attributes_folder)}
    if has_former_tables(path):
        keys, parts, class_names, groups, labels = (_read(index / name) for name in FORMER_COLUMNS)
        if split != OFFICIAL:
            raise _no_split(path, split, held=[OFFICIAL])
        try:
            targets = class_and_label(class_names, labels.astype(np.int64))
        except SourceError as error:
            raise StoreError(f"The index of the store is damaged ({path}: {error})") from None
    else:
        keys, groups, targets = _read(index / "keys"), _read(index / "groups"), _read_targets(path)
        parts = _read_split(path, split, keys=keys)
    of_split = "index/splits" if has_former_tables(path) else f"splits/{split}"
    sizes = {"index/keys": len(keys), "index/groups": len(groups), of_split: len(parts)}
    sizes |= {f"index/attributes/{name}": len(column) for name, column in attributes.items()}
    sizes |= {f"targets/{name}": target.num_rows for name, target in targets.items()}
    for array, size in sizes.items():
        _require_rows(path / array, size, num_rows=num_rows)
    read = Index(keys=keys, groups=groups, parts=parts, targets=targets, attributes=attributes)
    return read.select(np.arange(num_rows))


def _require_rows(array: Path, size: int, *, num_rows: int) -> None:
    if size < num_rows:
        raise StoreError(
            f"The index of the store is damaged: {array} has {size:,} entries and the store says that it has "
            f"{num_rows:,} rows. Extract again into another --cache."
        )


def read_splits(path: Path, *, num_rows: int) -> dict[str, Split]:
    """Every split of the store at `path` as it was made, by name, the data set's own first; errors as `read_index`."""
    if has_former_tables(path):
        return {OFFICIAL: Split(OFFICIAL, read_index(path, num_rows=num_rows).parts)}
    keys, folder = _read(_table(path, "index") / "keys"), _table(path, "splits")
    names = sorted(_arrays_in(folder), key=lambda name: (name != OFFICIAL, name))
    splits = [_stored_split(folder, name, keys=keys) for name in names]
    return {split.name: Split(split.name, split.parts[:num_rows], split.made_by) for split in splits}


def table_arrays(path: Path) -> list[str]:
    """Names of all arrays of the store at `path` that say who its rows are."""
    folders = ("index", "index/attributes", "targets", "splits")
    names = [f"{folder}/{name}" for folder in folders for name in _arrays_in(path / folder)]
    return [name for name in names if name not in folders]


def has_former_tables(path: Path) -> bool:
    """Whether the store at `path` has class, label and split in its index, as the schemas 2 and 3 have."""
    return not _table(path, "targets").is_dir()


def _table(path: Path, name: str) -> Path:
    following = inside(path, f"{NEXT_TABLES}/{name}")
    return following if following.is_dir() else inside(path, name)


def _arrays_in(folder: Path) -> list[str]:
    return sorted(entry.parent.name for entry in folder.glob("*/zarr.json"))


def _read_split(path: Path, name: str, *, keys: Column) -> Column:
    """The part of each row in a split; none where the data set does not list the row any more."""
    folder = _table(path, "splits")
    official = _stored_split(folder, OFFICIAL, keys=keys).parts
    if name == OFFICIAL:
        return official
    if name not in (held := _arrays_in(folder)):
        raise _no_split(path, name, held=held)
    parts = _stored_split(folder, name, keys=keys).parts
    return np.where(official[: len(parts)] == LEFT_OUT, LEFT_OUT, parts)


def _stored_split(folder: Path, name: str, *, keys: Column) -> Split:
    array = inside(folder, name)
    codes = _read(array)
    return parse_split(name, read_array_metadata(array), codes, keys=keys)


def _no_split(path: Path, name: str, *, held: Sequence[str]) -> NotFoundError:
    return NotFoundError(
        f"{path} has no split {name!r}; it has {listed(sorted(held))}. `weldcache split {name}` makes it."
    )


def _read_targets(path: Path) -> dict[str, Target]:
    folder = _table(path, "targets")
    names = _arrays_in(folder)
    lengths = {name for name in names if name.endswith(LENGTH_SUFFIX)}
    targets = {name: _read_target(folder, name) for name in names if name not in lengths}
    if stray := lengths - {f"{name}{LENGTH_SUFFIX}" for name, target in targets.items() if target.spec.is_ragged}:
        raise StoreError(f"{folder / min(stray)} belongs to no ragged target.")
    return targets


def _read_target(folder: Path, name: str) -> Target:
    """A target of a store: small ones are read and checked at once, those with many values a row when asked for."""
    array = inside(folder, name)
    metadata = read_array_metadata(array)
    spec = read_spec(name, metadata)

    def read() -> tuple[NDArray[Any], NDArray[np.int32] | None]:
        lengths = _read(inside(folder, f"{name}{LENGTH_SUFFIX}")) if spec.is_ragged else None
        values = _read(array)
        check_values(spec, values, lengths)
        return values, lengths

    target = Target(spec, read, metadata.shape[0])
    if spec.shape == ():
        assert target.values is not None
    return target


def _write(root: zarr.Group, name: str, values: NDArray[Any], *, attributes: Mapping[str, Any] | None = None) -> None:
    text = values.dtype.kind == "U"
    row_bytes = 1 if text else max(1, values.itemsize * int(np.prod(values.shape[1:], dtype=np.int64)))
    array = root.create_array(
        name,
        shape=values.shape,
        chunks=(max(1, min(_CHUNK_ROWS, _CHUNK_BYTES // row_bytes)), *values.shape[1:]),
        dtype=str if text else values.dtype,
        compressors=[Crc32cCodec()],
        dimension_names=("row", *(f"axis_{number}" for number in range(1, values.ndim))),
        attributes=dict(attributes or {}),
    )
    keeping_zeros(array)[:] = values.astype(object) if text else values


def _read(path: Path) -> NDArray[Any]:
    try:
        values = read_whole(inside(path.parent, path.name))  # which may be a link
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise StoreError(
            f"The index of the store is damaged ({path}: {error}); extract again into another --cache."
        ) from None
    if values.dtype.kind in "fui":
        return values
    texts = values.tolist()
    longest = max(map(len, texts), default=0)
    if 4 * (longest * len(texts) - sum(map(len, texts))) > _MOST_PADDING:
        raise StoreError(
            f"{path} has {len(texts):,} texts of which one has {longest:,} characters: that is no index of samples."
        )
    return np.array(texts, dtype=np.str_)
