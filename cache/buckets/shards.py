"""Chunks of an array and the objects that hold many of them: Zarr's sharding, made of chunk files as they are.

A service takes as long to begin an answer as to send a megabyte, so chunks do not lie in a bucket one by one. An object
holds those of neighbouring rows one behind the other, with an index at its end: where each begins, how long it is, and
a crc32c over that. The array's `zarr.json` says so there, and any reader of Zarr v3 that knows shards opens it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...documents import parse_json
from ..chunk_files import CHECKSUM, checksum
from ..nodes import METADATA_FILE, ArrayMetadata

FEATURES = "features/"  # what the names begin with of the arrays of features
_SHARD_BYTES = 16 << 20  # of an object, roughly: many times what could be sent while its first byte is waited for
_MOST_CHUNKS = 65_536  # in an object, whose index has 16 bytes for each
_TEXT_BYTES = 256  # of a text, roughly
_NOT_THERE = 2**64 - 1  # in an index, for a chunk that was never written
_ENTRY = np.dtype("<u8")
_KEY = re.compile(r"(.+)/c[./](0|[1-9]\d{0,9})(?:[./]0)*")
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


@dataclass(frozen=True)
class Sharding:
    """How the chunks of one array are called as files and lie in objects; chunks hold whole rows.

    Attributes:
        name: of the array in the store, such as `features/video/tokens`.
        ending: what stands in a chunk's key behind the number of its rows, such as `.0.0`.
    """

    name: str
    separator: str
    ending: str
    num_chunks: int
    chunks_a_shard: int

    @property
    def num_shards(self) -> int:
        """How many objects the array may have."""
        return -(-self.num_chunks // self.chunks_a_shard)

    @property
    def index_bytes(self) -> int:
        """Bytes at the end of an object that say where chunks are."""
        return 2 * _ENTRY.itemsize * self.chunks_a_shard + CHECKSUM.size

    def key(self, number: int) -> str:
        """Name in the store of a chunk, and in the bucket of a shard, by its number."""
        return f"{self.name}/{self.file(number)}"

    def file(self, number: int) -> str:
        """As `key`, in the array's own folder."""
        return f"c{self.separator}{number}{self.ending}"

    def chunks_of(self, shard: int) -> range:
        """Numbers of the chunks that an object has room for."""
        return range(shard * self.chunks_a_shard, min((shard + 1) * self.chunks_a_shard, self.num_chunks))


def shard_named(key: str) -> tuple[str, int] | None:
    """The name of the array of which an object is, by its own name, and the number of the shard; None where it can be
    none."""
    parts = _KEY.fullmatch(key)
    return (parts[1], int(parts[2])) if parts else None


def sharding_of(name: str, metadata: ArrayMetadata, *, chunks_a_shard: int | None = None) -> Sharding:
    """How the array `name` with this metadata, which is that of a folder, lies in a bucket.

    `chunks_a_shard` is what an array that is there already says; None: what one is to have that is put there now.
    """
    separator = metadata.chunk_key_encoding.configuration.separator
    rows_a_chunk = metadata.chunk_shape[0]
    num_chunks = -(-metadata.shape[0] // rows_a_chunk)
    chunk_bytes = _TEXT_BYTES * rows_a_chunk if metadata.is_text else metadata.chunk_bytes
    if chunks_a_shard is None:
        chunks_a_shard = max(1, min(_SHARD_BYTES // chunk_bytes, _MOST_CHUNKS, num_chunks))
    ending = f"{separator}0" * (len(metadata.shape) - 1)
    return Sharding(name, separator, ending, num_chunks, chunks_a_shard)


def packed(chunks: Sequence[bytes | None], *, chunks_a_shard: int) -> bytes:
    """The object that holds these chunks, the first ones that it has room for; None for one that is not there."""
    index = np.full((chunks_a_shard, 2), _NOT_THERE, dtype=_ENTRY)
    start = 0
    for place, chunk in enumerate(chunks):
        if chunk is not None:
            index[place] = start, len(chunk)
            start += len(chunk)
    end = index.tobytes()
    return b"".join([*(chunk for chunk in chunks if chunk is not None), end, checksum(end)])


def unpacked(content: memoryview, sharding: Sharding) -> list[memoryview | None]:
    """The chunks in an object, by their place.

    Raises:
        ValueError: if it is not what `packed` made.
    """
    room = len(content) - sharding.index_bytes
    index, end = content[room : -CHECKSUM.size], content[-CHECKSUM.size :]
    if room < 0 or checksum(np.frombuffer(index, dtype=np.uint8)) != end:
        raise ValueError("its index is not whole")
    chunks: list[memoryview | None] = []
    for start, size in np.frombuffer(index, dtype=_ENTRY).reshape(-1, 2).tolist():
        if start == size == _NOT_THERE:
            chunks.append(None)
        elif start + size > room or size < CHECKSUM.size:
            raise ValueError("its index leads out of it")
        else:
            chunks.append(content[start : start + size])
    return chunks


def bucket_metadata(text: bytes, sharding: Sharding) -> bytes:
    """The `zarr.json` that an array has in a bucket, from the one that it has in a folder."""
    document: dict[str, Any] = json.loads(text)
    grid = document["chunk_grid"]["configuration"]
    inner = grid["chunk_shape"]
    grid["chunk_shape"] = [inner[0] * sharding.chunks_a_shard, *inner[1:]]
    configuration = {"chunk_shape": inner, "codecs": document["codecs"], "index_codecs": _INDEX_CODECS}
    configuration["index_location"] = "end"
    document["codecs"] = [{"name": "sharding_indexed", "configuration": configuration}]
    return _written(document)


def folder_metadata(text: bytes) -> tuple[bytes, int]:
    """The `zarr.json` that an array has in a folder, from the one that `bucket_metadata` made, and how many of its
    chunks an object has room for.

    Raises:
        ValueError: if it did not make it.
    """
    try:
        document: dict[str, Any] = parse_json(text)
        (codec,) = document["codecs"]
        grid, inner = document["chunk_grid"]["configuration"], codec["configuration"]["chunk_shape"]
        chunks_a_shard = grid["chunk_shape"][0] // inner[0]
        if grid["chunk_shape"] != [inner[0] * chunks_a_shard, *inner[1:]] or not 1 <= chunks_a_shard <= _MOST_CHUNKS:
            raise ValueError("its shards are not made of whole chunks, or of too many")
        grid["chunk_shape"] = inner
        document["codecs"] = codec["configuration"]["codecs"]
        return _written(document), chunks_a_shard
    except (LookupError, TypeError, ArithmeticError) as error:
        raise ValueError("it is no array in shards") from error


def _written(document: dict[str, Any]) -> bytes:
    """As Zarr writes it."""
    return json.dumps(document, indent=2).encode()


def metadata_key(name: str) -> str:
    """Name of the metadata of a group or array; `.` is the store itself."""
    return METADATA_FILE if name == "." else f"{name}/{METADATA_FILE}"


def files_of(content: memoryview, sharding: Sharding, shard: int) -> dict[Path, memoryview | None]:
    """What an object is in a folder: the bytes of each chunk's file, by its path in the store, None where none is.

    Raises:
        ValueError: as `unpacked`.
    """
    chunks = unpacked(content, sharding)
    return {Path(sharding.key(number)): chunk for number, chunk in zip(sharding.chunks_of(shard), chunks, strict=False)}
