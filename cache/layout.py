"""Making and reading the parts of a store that Zarr itself writes: array metadata and the index."""

from pathlib import Path
from shutil import rmtree
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from ..atomic import fsync_path, new_folder
from ..errors import StoreError
from .arrays import NUMPY_TYPES, ArraySpec, StorageType
from .index import TEXT_COLUMNS, Index
from .nodes import inside, read_array_metadata, require_chunks

NEXT_INDEX = "index.next"  # group in a store: an index that is about to take the place of the store's own

_INDEX_CHUNK = 65_536  # rows an index chunk
_MOST_TEXT_BYTES = 1 << 30  # of a column in memory, where every text takes up as much as the longest
_BFLOAT16_NAN = 0x7FC0
_ROW_FILES: Any = {"name": "default", "separator": "."}  # one flat folder of chunk files an array


def create_array(root: zarr.Group, path: str, spec: ArraySpec, *, num_rows: int) -> None:
    """Make an array with a chunk a row; see `fill_value` for what its unwritten rows read as."""
    root.create_array(
        path,
        shape=(num_rows, *spec.shape),
        chunks=(1, *spec.shape),
        dtype=NUMPY_TYPES[spec.dtype],
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()],
        fill_value=fill_value(spec.dtype),
        chunk_key_encoding=_ROW_FILES,
        dimension_names=("row", *spec.dims),
        attributes={"storage_type": spec.dtype, **spec.attributes},
        overwrite=True,
    )


def create_record_array(root: zarr.Group, path: str, dtype: np.dtype[Any], *, num_rows: int, rows_a_chunk: int) -> None:
    """Make an array with a small value a row, of zeros or, where `dtype` is that of objects, of empty texts."""
    is_text = dtype.kind == "O"
    root.create_array(
        path,
        shape=(num_rows,),
        chunks=(rows_a_chunk,),
        dtype=str if is_text else dtype,
        serializer="auto" if is_text else BytesCodec(),
        compressors=[Crc32cCodec()],
        fill_value="" if is_text else 0,
        chunk_key_encoding=_ROW_FILES,
        dimension_names=("row",),
        attributes={} if is_text else {"storage_type": dtype.name},
        overwrite=True,
    )


def fill_value(dtype: StorageType) -> float | int:
    """What an unwritten value reads as: NaN where the type has it, to be loud where somebody reads past the status."""
    if dtype == "bfloat16":
        return _BFLOAT16_NAN
    return float("nan") if dtype.startswith("float") else 0


def resize_rows(path: Path, *, num_rows: int) -> None:
    """Give an array's first axis another length."""
    array = open_array(path, mode="r+")
    array.resize((num_rows, *array.shape[1:]))


def write_index(root: zarr.Group, index: Index) -> None:
    """Write every column of the index into a group that has none."""
    root.require_group("index/attributes")
    for name, column in index.columns().items():
        text = column.dtype.kind == "U"
        array = root.create_array(
            f"index/{name}",
            shape=column.shape,
            chunks=(_INDEX_CHUNK,),
            dtype=str if text else column.dtype,
            compressors=[Crc32cCodec()],
            dimension_names=("row",),
        )
        _keeping_zeros(array)[:] = column.astype(object) if text else column


def replace_index(path: Path, index: Index) -> None:
    """Put another index in the place of the one of the store at `path`: all of its columns at once, or none."""
    _finish_replacing(path)
    with new_folder(inside(path, NEXT_INDEX)) as temporary:
        write_index(zarr.create_group(temporary), index)
    # From here on the new one is read, wherever this ends.
    _finish_replacing(path)


def _finish_replacing(path: Path) -> None:
    following, current = inside(path, NEXT_INDEX), inside(path, "index")
    if (following / "index").is_dir():
        if current.is_dir():
            current.rename(following / "replaced")
        (following / "index").rename(current)
        fsync_path(path)
    rmtree(following, ignore_errors=True)


def read_index(path: Path, *, num_rows: int) -> Index:
    """Read the index of the store at `path`; rows beyond `num_rows` belong to an interrupted extension.

    Raises:
        StoreError: if a column cannot be read.
    """
    if inside(path, f"{NEXT_INDEX}/index").is_dir():
        path = path / NEXT_INDEX
    attributes = sorted(entry.parent.name for entry in inside(path, "index/attributes").glob("*/zarr.json"))
    columns = {name: _read_column(path, f"index/{name}", num_rows) for name in (*TEXT_COLUMNS, "labels")}
    return Index(
        **columns, attributes={name: _read_column(path, f"index/attributes/{name}", num_rows) for name in attributes}
    )


def open_array(path: Path, *, mode: str = "r") -> Any:
    """Zarr's own view of an array.

    Raises:
        StoreError: if it is not one as we write them: Zarr could read what must not be read, see `nodes`.
    """
    read_array_metadata(path)
    return _keeping_zeros(zarr.open_array(path, mode=cast(Any, mode), zarr_format=3))


def open_root(path: Path) -> zarr.Group:
    """Zarr's own view of a whole store, to write to it."""
    return zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)


def read_whole(path: Path) -> NDArray[Any]:
    """All of an array with one axis, none of whose chunks may be missing: Zarr would read zeros or empty texts.

    Raises:
        ValueError: if a chunk is gone; other errors as Zarr raises them.
    """
    require_chunks(path, read_array_metadata(path))
    return np.asarray(open_array(path)[:])


def _keeping_zeros(array: Any) -> Any:
    """The array, writing chunks of zeros too: else they would look like chunks that were lost."""
    return array.with_config({"write_empty_chunks": True})


def _read_column(root: Path, name: str, num_rows: int) -> NDArray[Any]:
    path = inside(root, name)
    try:
        values = read_whole(path)[:num_rows]
    except (ValueError, RuntimeError, OSError, KeyError) as error:
        raise StoreError(
            f"The index of the store is damaged ({path}: {error}); extract again into another --cache."
        ) from None
    if len(values) < num_rows:
        raise StoreError(
            f"The index of the store is damaged: {path} has {len(values):,} entries and the store says that it has "
            f"{num_rows:,} rows. Extract again into another --cache."
        )
    if values.dtype.kind in "fu":
        return values
    texts = values.tolist()
    longest = max(map(len, texts), default=0)
    if 4 * longest * len(texts) > _MOST_TEXT_BYTES:
        raise StoreError(
            f"{path} has {len(texts):,} texts of which one has {longest:,} characters: that is no index of welds."
        )
    return np.array(texts, dtype=np.str_)
