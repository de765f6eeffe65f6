"""Features that stay in the store: rows are read ahead while the device is at work, for stores larger than memory.

Rows come in any order that is asked for, and so in the same one as if they were resident: a chunk of the store is one
row in one file, so rows that stand side by side are read no faster than others, as long as several are under way.
"""

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch

from ..cache.store import FeatureStore
from .batches import Order
from .recipes.recipe import Batch, FeatureRequest
from .requests import num_feature_bytes
from .staging import Rows, Staged, staging_for

READ_AHEAD_BYTES = 2**30
_MOST_AHEAD = 8  # batches; more would hide no more waiting


@dataclass(frozen=True, eq=False)
class StreamedFeatures:
    """Requested features of some rows, read whenever they are asked for.

    Attributes:
        store: where they are; its rows must be complete, which is checked at every reading.
        rows: row numbers in the store, one a sample.
        requests: the arrays of a batch.
        device: where batches go.
        read_ahead_bytes: of the host's memory, for batches that wait; one batch waits even if it is larger.
    """

    store: FeatureStore
    rows: Rows
    requests: Sequence[FeatureRequest]
    device: torch.device
    read_ahead_bytes: int = READ_AHEAD_BYTES

    def __len__(self) -> int:
        return len(self.rows)

    def num_ahead(self, *, batch_size: int) -> int:
        """How many batches of this size are read ahead."""
        batch_bytes = num_feature_bytes(self.store, self.requests, num_rows=batch_size)
        return max(1, min(_MOST_AHEAD, self.read_ahead_bytes // batch_bytes))

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`.

        Raises:
            StoreError: if a row is not complete, or its chunk is missing or damaged.
        """
        largest = max((len(samples) for samples in order), default=1)
        num_ahead = self.num_ahead(batch_size=largest)
        requests = [request for request in self.requests if arrays is None or request.name in arrays]
        staging = staging_for(self.store, requests, num_rows=largest, num_buffers=num_ahead, device=self.device)
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
