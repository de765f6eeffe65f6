"""Features that stay in the store: rows are read ahead while the device is at work, for stores larger than memory.

Rows come in any order that is asked for, and so in the same one as if they were resident: a chunk of the store is one
row in one file, so rows that stand side by side are read no faster than others, as long as several are under way.
"""

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch

from ..types import Batch
from .batches import Order
from .feature_reader import FeatureReader, Rows
from .staging import Staged, staging_for

READ_AHEAD_BYTES = 2**30
_MOST_AHEAD = 8  # batches; more would hide no more waiting


@dataclass(frozen=True, eq=False)
class StreamedFeatures:
    """Requested features of some rows, read whenever they are asked for.

    Attributes:
        reader: reads them; rows that should be complete are checked to be so at every reading.
        rows: row numbers in the store, one a sample.
        device: where batches go.
        read_ahead_bytes: of the host's memory, for batches that wait; one batch waits even if it is larger.
    """

    reader: FeatureReader
    rows: Rows
    device: torch.device
    read_ahead_bytes: int = READ_AHEAD_BYTES

    def __len__(self) -> int:
        return len(self.rows)

    def num_ahead(self, *, batch_size: int) -> int:
        """How many batches of this size are read ahead."""
        return max(1, min(_MOST_AHEAD, self.read_ahead_bytes // self.reader.num_bytes(batch_size)))

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`.

        Raises:
            StoreError: if a row is not complete, or its chunk is missing or damaged.
        """
        largest = max((len(samples) for samples in order), default=1)
        num_ahead = self.num_ahead(batch_size=largest)
        reader = self.reader.only(arrays)
        staging = staging_for(reader, num_rows=largest, num_buffers=num_ahead, device=self.device)
        wanted = (self.rows[samples.numpy()] for samples in order)
        reading: deque[Future[Staged]] = deque()
        with ThreadPoolExecutor(num_ahead, thread_name_prefix="read_ahead") as pool:
            try:
                reading.extend(pool.submit(staging.read, rows) for rows in islice(wanted, num_ahead))
                while reading:
                    batch = staging.deliver(reading.popleft().result())
                    reading.extend(pool.submit(staging.read, rows) for rows in islice(wanted, 1))
                    yield batch
            finally:
                pool.shutdown(cancel_futures=True)
