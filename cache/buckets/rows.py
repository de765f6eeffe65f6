"""Chunks of rows read out of the objects that hold them: as few requests as the rows allow, many at a time.

Where a chunk is in its object follows from which rows are complete, since only these are packed and all of an array are
equally long. So no index is asked for, and a single row is one request; rows that lie near each other share one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import google_crc32c
import numpy as np
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from ...errors import StoreError
from ..chunk_files import CHECKSUM
from ..chunks import Rows, bytes_of_rows
from .bucket import Bucket, Held
from .shards import Sharding
from .threads import in_requests

_MOST_BYTES = 8 << 20  # of a request, so that a large read is shared by several
_GAP_BYTES = 512 << 10  # that nobody wants and that come sooner than another request would

_Place: TypeAlias = tuple[
    int, int
]  # where in its object a chunk begins, and which of the rows that are asked for it is


@dataclass(frozen=True)
class _Request:
    """Chunks of one object that are read together."""

    shard: int
    start: int
    stop: int
    places: list[_Place]


class BucketChunks:
    """The chunks of one array of features; see `RowChunks`.

    `complete` are the rows that have one; `objects` is what the bucket holds.

    Raises:
        StoreError: if an object is not there, or has not the length of the chunks that should be in it.
    """

    def __init__(
        self,
        bucket: Bucket,
        sharding: Sharding,
        objects: Mapping[str, Held],
        *,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        complete: Bool[np.ndarray, " row"],
    ) -> None:
        self._bucket = bucket
        self._sharding = sharding
        self._objects = objects
        self._shape = shape
        self._dtype = dtype
        self._chunk_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize + CHECKSUM.size
        # How many chunks lie before a row's, in the array; and in its objects before the first of each.
        before = np.concatenate([[0], np.cumsum(complete, dtype=np.int64)])
        self._before = before[:-1]
        self._firsts = before[np.minimum(np.arange(sharding.num_shards + 1) * sharding.chunks_a_shard, len(complete))]
        self._complete = complete
        self._checksums = np.zeros(len(complete), dtype=np.uint32)
        self._read = np.zeros(len(complete), dtype=bool)  # whose checksum is known
        self._require_objects()

    def read(self, rows: Rows, *, out: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
        """As `RowChunks.read`."""
        numbers = np.asarray(rows, dtype=np.int64)
        values = np.empty((len(numbers), *self._shape), dtype=self._dtype) if out is None else out
        assert (values.shape, values.dtype) == ((len(numbers), *self._shape), self._dtype)
        if not self._complete[numbers].all():  # another row's chunk lies where theirs would
            raise StoreError(f"{self._sharding.name}: rows that are not complete have no chunk in {self._bucket.url}.")
        targets = bytes_of_rows(values)

        def fetch(request: _Request) -> None:
            content = self._content(request)
            for start, place in request.places:
                chunk = content[start - request.start :][: self._chunk_bytes]
                targets[place] = np.frombuffer(chunk[: -CHECKSUM.size], dtype=np.uint8)
                if google_crc32c.value(targets[place]) != self._keep_checksum(int(numbers[place]), chunk):
                    raise StoreError(
                        f"{self._sharding.name}: the chunk of row {numbers[place]} does not match its checksum: the "
                        f"object {self._sharding.key(request.shard)} in {self._bucket.url} is damaged. "
                        f"{self._bucket.how_to_mend}"
                    )

        in_requests(fetch, list(self._requests(numbers)))
        return values

    def checksums(self, rows: Rows) -> list[int | None]:
        """As `RowChunks.checksums`; those of rows that were read are known, whether they held or not."""
        numbers = np.asarray(rows, dtype=np.int64)
        unknown = numbers[self._complete[numbers] & ~self._read[numbers]]

        def fetch(request: _Request) -> None:
            content = self._content(request)
            for start, place in request.places:
                self._keep_checksum(int(unknown[place]), content[start - request.start :][: self._chunk_bytes])

        in_requests(fetch, list(self._requests(unknown)))
        return [int(self._checksums[row]) if self._read[row] else None for row in numbers.tolist()]

    def name_of(self, row: int) -> str:
        """The object that holds the chunk."""
        return self._sharding.key(row // self._sharding.chunks_a_shard)

    def size_of(self, row: int) -> int:
        """As `RowChunks.size_of`: objects of other lengths are refused from the first."""
        return self._chunk_bytes

    def _keep_checksum(self, row: int, chunk: memoryview) -> int:
        (checksum,) = CHECKSUM.unpack(chunk[-CHECKSUM.size :])
        self._checksums[row], self._read[row] = checksum, True
        return int(checksum)

    def _requests(self, rows: Int64[np.ndarray, " row"]) -> Iterator[_Request]:
        shards = rows // self._sharding.chunks_a_shard
        starts = (self._before[rows] - self._firsts[shards]) * self._chunk_bytes
        request: _Request | None = None
        for place in np.lexsort((starts, shards)).tolist():
            shard, start = int(shards[place]), int(starts[place])
            stop = start + self._chunk_bytes
            near = request is not None and request.shard == shard and start - request.stop <= _GAP_BYTES
            if request is not None and near and stop - request.start <= _MOST_BYTES:
                request.places.append((start, place))
                request = _Request(shard, request.start, max(stop, request.stop), request.places)
                continue
            if request is not None:
                yield request
            request = _Request(shard, start, stop, [(start, place)])
        if request is not None:
            yield request

    def _content(self, request: _Request) -> memoryview:
        name = self._sharding.key(request.shard)
        return self._bucket.read(name, version=self._objects[name].e_tag, start=request.start, stop=request.stop)

    def _require_objects(self) -> None:
        for shard, num_chunks in enumerate(np.diff(self._firsts).tolist()):
            name = self._sharding.key(shard)
            held = self._objects.get(name)
            expected = num_chunks * self._chunk_bytes + self._sharding.index_bytes
            if num_chunks and (held is None or held.size != expected):
                found = "is gone" if held is None else f"has {held.size:,} bytes, where {expected:,} belong"
                raise StoreError(f"{self._bucket.url}: the object {name} {found}. {self._bucket.how_to_mend}")
