"""Objects of features as they are to be when an extraction into a bucket ends: with the chunks of exactly the rows that
are complete."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from ..chunk_files import CHECKSUM, checksum
from ..contents import complete_rows
from ..nodes import inside, read_array_metadata
from ..store import FeatureStore
from .shards import FEATURES, Sharding, unpacked


@dataclass(frozen=True)
class Wanted:
    """An object of features as it is to be: with the chunks of `rows`, each of so many bytes."""

    sharding: Sharding
    number: int
    rows: list[int]
    chunk_bytes: int

    @property
    def key(self) -> str:
        """Its name."""
        return self.sharding.key(self.number)

    @property
    def num_bytes(self) -> int:
        """Its size."""
        return len(self.rows) * self.chunk_bytes + self.sharding.index_bytes

    def chunks_in(self, content: memoryview) -> dict[int, memoryview]:
        """Whole chunks in an object of its name, by row; none where it is damaged."""
        try:
            there = unpacked(content, self.sharding)
        except ValueError:
            return {}
        rows = self.sharding.chunks_of(self.number)
        return {
            row: chunk
            for row, chunk in zip(rows, there, strict=False)
            if chunk is not None and len(chunk) == self.chunk_bytes and _is_whole(chunk)
        }


def wanted_objects(store: FeatureStore, shardings: Mapping[str, Sharding]) -> dict[str, Wanted]:
    """The objects of features that hold a complete row of a working copy, by name; `shardings` are of its arrays."""
    found, rows = {}, complete_rows(store)
    for name, sharding in shardings.items():
        chunk_bytes = read_array_metadata(inside(store.folder, name)).chunk_bytes
        numbers = rows[name] // sharding.chunks_a_shard
        starts = np.flatnonzero(np.diff(numbers, prepend=-1))
        for of_object in np.split(rows[name], starts[1:]) if len(starts) else []:
            each = Wanted(sharding, int(of_object[0]) // sharding.chunks_a_shard, of_object.tolist(), chunk_bytes)
            found[each.key] = each
    return found


def rows_of(objects: Iterable[Wanted]) -> dict[str, set[int]]:
    """The rows that objects hold, by feature set."""
    rows: dict[str, set[int]] = {}
    for each in objects:
        feature_set = each.sharding.name.removeprefix(FEATURES).rpartition("/")[0]
        rows.setdefault(feature_set, set()).update(each.rows)
    return rows


def _is_whole(chunk: memoryview) -> bool:
    return checksum(bytes(chunk[: -CHECKSUM.size])) == chunk[-CHECKSUM.size :]
