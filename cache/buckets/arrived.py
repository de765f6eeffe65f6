"""What a folder still holds of the mirror that came into it, what of it is damaged or gone, and whether it was changed.

Every file is looked at by itself, so that the store need not open. What is gone, cannot be read or fails its checksum
may be brought again. What is whole and not as it came was changed here, and would be lost.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...documents import parse_json, read_regular_file
from ...errors import FingerprintError, OutputExistsError, StoreError
from ...progress import say
from ..chunk_files import CHECKSUM, checksum, read_files
from ..contents import complete_rows
from ..description import read_description
from ..nodes import (
    METADATA_FILE,
    MOST_DOCUMENT_BYTES,
    ArrayMetadata,
    inside,
    parse_array_metadata,
    parse_group_metadata,
)
from ..store import FeatureStore
from ..verification.outcome import VERIFICATION
from .inventory import MIRROR, Inventory, sha256_of
from .shards import FEATURES, Sharding, bucket_metadata, metadata_key, packed, sharding_of


@dataclass(frozen=True)
class _Array:
    """An array in the folder, and how its chunks lay in the objects that came."""

    path: Path
    metadata: ArrayMetadata
    sharding: Sharding


def kept_objects(folder: Path, arrived: Inventory, shardings: Mapping[str, Sharding]) -> set[str]:
    """Names of the objects of which nothing is damaged or gone in the folder.

    Of features it is seen that their chunks are there and have their lengths; where anything else is damaged or gone,
    that they have the bytes that came.

    Args:
        arrived: what came.
        shardings: how arrays lie in the bucket by now.

    Raises:
        OutputExistsError: if the store was changed since it came.
    """
    # Of an outcome of a verification, the folder may have its own.
    kept = {name for name in arrived.objects if name.startswith(f"{VERIFICATION}/")}
    features: list[_Array] = []
    for name in _nodes(folder):
        if (text := _whole_metadata(folder, name)) is None:
            continue
        array = _as_it_came(folder, name, text, arrived, shardings)
        kept.add(metadata_key(name))
        if array is not None and name.startswith(FEATURES):
            features.append(array)
        elif array is not None:
            kept |= _kept_chunks(folder, array, arrived)
    others = {name for name in arrived.objects if not _is_of_features(name)}
    if others <= kept:
        complete = complete_rows(FeatureStore.open(folder))
        return kept.union(*(_kept_rows(array, complete[array.sharding.name]) for array in features))
    say(f"{min(others - kept)} in {folder} is damaged or gone; all features there are read to see what else is.")
    return kept.union(*(_kept_chunks(folder, array, arrived) for array in features))


def _nodes(folder: Path) -> Iterator[str]:
    """Every group and array there, but for those of which the folder has its own."""
    for above, below, files in os.walk(folder):
        below.sort()
        name = Path(above).relative_to(folder).as_posix()
        if METADATA_FILE in files and name not in (MIRROR, VERIFICATION):
            yield name


def _whole_metadata(folder: Path, name: str) -> bytes | None:
    """The `zarr.json` of a group or an array; None if it is damaged, as far as it can be told."""
    file = inside(folder, metadata_key(name))
    try:
        text = read_regular_file(file, most_bytes=MOST_DOCUMENT_BYTES)
        document = parse_json(text)
        if isinstance(document, dict) and document.get("node_type") == "array":
            parse_array_metadata(document, path=file.parent)
        else:
            parse_group_metadata(document, path=file.parent)
        if name == ".":
            read_description(file)  # which is sealed
    except (ValueError, StoreError, FingerprintError):
        return None
    return text


def _as_it_came(
    folder: Path, name: str, text: bytes, arrived: Inventory, shardings: Mapping[str, Sharding]
) -> _Array | None:
    """An array whose metadata is as it came, or None for a group."""
    key = metadata_key(name)
    entry = arrived.objects.get(key)
    document = parse_json(text)
    if document["node_type"] == "group":
        if entry is None or entry.content != (len(text), sha256_of(text)):
            raise _changed(folder, key, arrived)
        return None
    path = inside(folder, name)
    metadata = parse_array_metadata(document, path=path)
    # Objects had room for as many chunks as those there now, or for as many as they would have if they were made here.
    there = shardings.get(name)
    for chunks_a_shard in (None, there.chunks_a_shard if there else None):
        sharding = sharding_of(name, metadata, chunks_a_shard=chunks_a_shard)
        in_bucket = bucket_metadata(text, sharding)
        if entry is not None and entry.content == (len(in_bucket), sha256_of(in_bucket)):
            return _Array(path, metadata, sharding)
    raise _changed(folder, key, arrived)


def _kept_chunks(folder: Path, array: _Array, arrived: Inventory) -> set[str]:
    """Names of the objects of an array whose bytes are those that came."""
    kept, sharding = set(), array.sharding
    for shard in range(sharding.num_shards):
        key, numbers = sharding.key(shard), list(sharding.chunks_of(shard))
        contents = read_files(array.path, [sharding.file(number) for number in numbers])
        chunks = [content for content in contents if content is not None]
        is_whole = all(checksum(chunk[: -CHECKSUM.size]) == chunk[-CHECKSUM.size :] for chunk in chunks)
        if not chunks or (not is_whole and key in arrived.objects):
            continue
        content = packed(contents, chunks_a_shard=sharding.chunks_a_shard)
        entry = arrived.objects.get(key)
        if entry is not None and entry.content == (len(content), sha256_of(content)):
            kept.add(key)
        elif not key.startswith(FEATURES):  # of which interruptions leave chunks that belong to no row
            raise _changed(folder, key, arrived)
    return kept


def _kept_rows(array: _Array, rows: NDArray[np.int64]) -> set[str]:
    """Names of the objects of an array of features all of whose chunks are there and have their length."""
    with os.scandir(array.path) as entries:
        sizes = {entry.name: entry.stat(follow_symlinks=False).st_size for entry in entries}
    sharding = array.sharding
    lost = [row for row in rows.tolist() if sizes.get(sharding.file(row)) != array.metadata.chunk_bytes]
    shards = np.unique(rows // sharding.chunks_a_shard)
    return {sharding.key(shard) for shard in np.setdiff1d(shards, np.asarray(lost, int) // sharding.chunks_a_shard)}


def _is_of_features(name: str) -> bool:
    """Whether an object holds chunks of features."""
    return name.startswith(FEATURES) and not name.endswith(f"/{METADATA_FILE}")


def _changed(folder: Path, name: str, arrived: Inventory) -> OutputExistsError:
    return OutputExistsError(
        f"The store in {folder} was changed since it came from {arrived.url} ({name}), which would be lost. Put it "
        f"there with `weldcache mirror {folder} {arrived.url}`, or name a new folder."
    )
