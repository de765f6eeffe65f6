"""Groups and arrays of a store on the disk: where they are, and what their `zarr.json` may say of them.

Zarr reads much more than we write: an older format, whose codecs can run code, links, shards, other compressions. None
of it is in a store of ours, so none of it is passed on to Zarr.
"""

import errno
import os
import re
import struct
from math import prod
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from ..documents import faults_told, open_regular, read_document
from ..errors import StoreError

METADATA_FILE = "zarr.json"
MOST_DOCUMENT_BYTES = 16 << 20  # of a zarr.json
MOST_ROWS = 2**31 - 1
OLD_METADATA = (".zarray", ".zgroup", ".zattrs", ".zmetadata")  # of Zarr's version 2

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]*(/[A-Za-z0-9_][A-Za-z0-9_.]*)*")
_MOST_CHUNK_BYTES = (1 << 30) + 16
_COUNT = struct.Struct("<I")  # with which a chunk of texts begins: how many there are


def inside(root: Path, name: str) -> Path:
    """The path of `name`, such as `status/video`, in the store at `root`, whether it is there or not.

    Everything that is read, written or removed below a store is found through here. `root` itself may be a link.

    Raises:
        StoreError: if the name leads elsewhere, or through a link.
    """
    if not _NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name of anything in a store, and {root} would have it there.")
    path = os.fspath(root)
    for part in name.split("/"):
        path = f"{path}/{part}"
        # Called for every batch that is read, where a Path costs as much again.
        if os.path.islink(path):  # noqa: PTH114
            raise StoreError(
                f"{path} is a link, and a store has none: what it leads to is not the store's. Put what it leads to in "
                "its place, or link the whole store."
            )
    return Path(path)


class Told(BaseModel):
    """Part of what a store says of itself: of these types exactly, with nothing left out and nothing more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


JsonObject = dict[str, JsonValue]
Text = Annotated[str, Field(max_length=1000)]
Length = Annotated[int, Field(ge=1, le=MOST_ROWS)]


class _ChunkShape(Told):
    chunk_shape: Annotated[tuple[Length, ...], Field(strict=False)]  # not strict: JSON has lists only


class _Regular(Told):
    name: Literal["regular"]
    configuration: _ChunkShape


class _Separator(Told):
    separator: Literal[".", "/"]


class _KeyEncoding(Told):
    name: Literal["default"]
    configuration: _Separator


class _LittleEndian(Told):
    endian: Literal["little"]


class _Nothing(Told):
    pass


class _BytesCodec(Told):
    name: Literal["bytes"]
    configuration: _LittleEndian | _Nothing = _Nothing()


class _TextCodec(Told):
    name: Literal["vlen-utf8"]
    configuration: _Nothing = _Nothing()


class _ChecksumCodec(Told):
    name: Literal["crc32c"]
    configuration: _Nothing = _Nothing()


_Codecs = Annotated[tuple[_BytesCodec | _TextCodec, _ChecksumCodec], Field(strict=False)]


class GroupMetadata(Told):
    """The `zarr.json` of a group."""

    zarr_format: Literal[3]
    node_type: Literal["group"]
    attributes: JsonObject = {}
    consolidated_metadata: None = None


class ArrayMetadata(Told):
    """The `zarr.json` of an array: a regular grid of chunks, uncompressed with a checksum each."""

    zarr_format: Literal[3]
    node_type: Literal["array"]
    shape: Annotated[tuple[Annotated[int, Field(ge=0, le=MOST_ROWS)], ...], Field(strict=False, max_length=9)]
    data_type: Literal[
        "float16", "uint16", "float32", "float64", "int8", "int16", "int32", "uint8", "uint32", "uint64", "string"
    ]
    chunk_grid: _Regular
    chunk_key_encoding: _KeyEncoding
    fill_value: int | float | Text
    codecs: _Codecs
    attributes: JsonObject = {}
    dimension_names: Annotated[tuple[Text | None, ...], Field(strict=False)] | None = None
    storage_transformers: Annotated[tuple[()], Field(strict=False)] = ()

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of every chunk, also of the last one, inside which the array may end."""
        return self.chunk_grid.configuration.chunk_shape

    @property
    def is_text(self) -> bool:
        """Whether it holds texts rather than numbers."""
        return self.data_type == "string"

    @property
    def chunk_bytes(self) -> int:
        """Bytes that a chunk file has at least: those of a chunk of texts that are all empty."""
        count = prod(self.chunk_shape)
        return 4 + (4 + 4 * count if self.is_text else count * np.dtype(self.data_type).itemsize)


def room_for(root: Path, name: str) -> Path:
    """As `inside`, for what is to be made: Zarr writes the `zarr.json` of the groups above it too."""
    for above in [root / folder for folder in PurePosixPath(name).parents]:
        inside(above, METADATA_FILE)
    return inside(root, name)


def read_array_metadata(path: Path) -> ArrayMetadata:
    """What the array in the folder `path` says of itself.

    Raises:
        StoreError: if it is not an array as weldcache writes them; the message says where it differs.
        OSError: if it cannot be read.
    """
    held = next((name for name in OLD_METADATA if (path / name).exists()), None)
    if held:
        raise StoreError(f"{path / held} is of another version of Zarr, which weldcache neither writes nor reads.")
    return parse_array_metadata(_read(path), path=path)


def parse_array_metadata(value: Any, *, path: Path) -> ArrayMetadata:
    """What `value` says of the array at `path`; as `read_array_metadata`."""
    try:
        metadata = ArrayMetadata.model_validate(value)
    except ValidationError as error:
        raise StoreError(f"{path} is not an array as weldcache writes them: {faults_told(error)}.") from None
    if len(metadata.shape) != len(metadata.chunk_shape) or metadata.chunk_bytes > _MOST_CHUNK_BYTES:
        raise StoreError(f"{path} has chunks of {metadata.chunk_shape} for a shape of {metadata.shape}.")
    if metadata.is_text != isinstance(metadata.codecs[0], _TextCodec):
        raise StoreError(f"{path} holds {metadata.data_type} and codes it as {metadata.codecs[0].name}.")
    return metadata


def read_group_metadata(path: Path) -> GroupMetadata:
    """What the group in the folder `path` says of itself; errors as `read_array_metadata`."""
    return parse_group_metadata(_read(path), path=path)


def parse_group_metadata(value: Any, *, path: Path) -> GroupMetadata:
    """What `value` says of the group at `path`.

    Raises:
        StoreError: if it is not a group as weldcache writes them.
    """
    try:
        return GroupMetadata.model_validate(value)
    except ValidationError as error:
        raise StoreError(f"{path} is not a group as weldcache writes them: {faults_told(error)}.") from None


def chunk_of_rows(path: Path, metadata: ArrayMetadata, number: int) -> Path:
    """The file of a chunk that holds whole rows."""
    return inside(path, f"c/{number}" + "/0" * (len(metadata.shape) - 1))


def require_chunks(path: Path, metadata: ArrayMetadata) -> None:
    """See that every chunk of an array is there, a regular file and as long as what it must hold; chunks hold whole
    rows.

    What Zarr then allocates for the array is bounded by the bytes that are on the disk.

    Raises:
        ValueError: if one is not.
    """
    if not metadata.shape or metadata.shape[1:] != metadata.chunk_shape[1:]:
        raise ValueError(f"it has chunks of {metadata.chunk_shape}, which do not hold whole rows")
    for number in range(-(-metadata.shape[0] // metadata.chunk_shape[0])):
        try:
            with open_regular(chunk_of_rows(path, metadata, number)) as file:
                head, num_bytes = file.read(_COUNT.size), os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            raise ValueError("a chunk is gone") from None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError(f"chunk {number} is not a regular file") from None
        if num_bytes < metadata.chunk_bytes:
            raise ValueError(f"chunk {number} is cut short")
        if metadata.is_text and head != _COUNT.pack(metadata.chunk_shape[0]):
            raise ValueError(f"chunk {number} has another number of texts than the array says")


def _read(folder: Path) -> Any:
    try:
        return read_document(inside(folder, METADATA_FILE), most_bytes=MOST_DOCUMENT_BYTES)
    except ValueError as error:
        raise StoreError(f"{folder / METADATA_FILE} is damaged: {error}.") from None
