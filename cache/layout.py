"""Arrays of a store as Zarr makes and reads them."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec

from ..documents import open_regular
from .arrays import NUMPY_TYPES, ArraySpec, StorageType
from .chunk_files import CHECKSUM, checksum
from .nodes import ArrayMetadata, chunk_of_rows, read_array_metadata, require_chunks
from .record_arrays import texts_in

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


def write_constant(root: zarr.Group, path: str, values: NDArray[np.float32]) -> None:
    """Make an array of one chunk that belongs to no row."""
    array = root.create_array(
        path,
        shape=values.shape,
        chunks=values.shape,
        dtype="float32",
        compressors=[Crc32cCodec()],
        overwrite=True,
    )
    array[:] = values


def fill_value(dtype: StorageType) -> float | int:
    """What an unwritten value reads as: NaN where the type has it, to be loud where somebody reads past the status."""
    if dtype == "bfloat16":
        return _BFLOAT16_NAN
    return float("nan") if dtype.startswith("float") else 0


def resize_rows(path: Path, *, num_rows: int) -> None:
    """Give an array's first axis another length."""
    array = open_array(path, mode="r+")
    array.resize((num_rows, *array.shape[1:]))


def open_array(path: Path, *, mode: str = "r") -> Any:
    """Zarr's own view of an array.

    Raises:
        StoreError: if it is not one as we write them: Zarr could read what must not be read, see `nodes`.
    """
    read_array_metadata(path)
    return keeping_zeros(zarr.open_array(path, mode=cast(Any, mode), zarr_format=3))


def open_root(path: Path) -> zarr.Group:
    """Zarr's own view of a whole store, to write to it."""
    return zarr.open_group(path, mode="r+", zarr_format=3, use_consolidated=False)


def read_whole(path: Path) -> NDArray[Any]:
    """All of an array, none of whose chunks may be missing: Zarr would read zeros or empty texts. Texts are objects.

    Read without Zarr, which decodes a chunk to its end: of a column of forty texts that is sixty thousand empty ones.

    Raises:
        ValueError: if a chunk is gone or damaged.
    """
    metadata = read_array_metadata(path)
    require_chunks(path, metadata)
    values = np.empty(metadata.shape, dtype=object if metadata.is_text else metadata.data_type)
    rows_a_chunk = metadata.chunk_shape[0]
    for number, first in enumerate(range(0, len(values), rows_a_chunk)):
        rows = values[first : first + rows_a_chunk]
        with open_regular(chunk_of_rows(path, metadata, number)) as file:
            rows[:] = _decoded(file.read(), metadata, num_rows=len(rows))
    return values


def _decoded(content: bytes, metadata: ArrayMetadata, *, num_rows: int) -> NDArray[Any] | list[str]:
    """The first rows of a chunk."""
    body, end = content[: -CHECKSUM.size], content[-CHECKSUM.size :]
    if checksum(body) != end:
        raise ValueError("a chunk is not what its checksum says")
    if not metadata.is_text:
        return np.frombuffer(body, dtype=metadata.data_type).reshape(metadata.chunk_shape)[:num_rows]
    texts = [text.decode() for text in texts_in(body, most=num_rows)]
    if len(texts) < num_rows:
        raise ValueError("a text of a chunk is cut short")
    return texts


def keeping_zeros(array: Any) -> Any:
    """The array, writing chunks of zeros too: else they would look like chunks that were lost."""
    return array.with_config({"write_empty_chunks": True})
