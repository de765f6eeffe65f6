"""Features that stay in the store: rows are read ahead while the device is at work, for stores larger than memory.

Rows come in any order that is asked for, and so in the same one as if they were resident: a chunk of the store is one
row in one file, so rows that stand side by side are read no faster than others, as long as several are under way.
"""

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

import torch

from ..types import Batch, mapped
from .batches import Order
from .features import FeatureReader, Rows

READ_AHEAD_BYTES = 2**30
_MOST_AHEAD = 8  # batches; more would hide no more waiting


@runtime_checkable
class Copies(Protocol):
    """Knows when the device has copied a buffer."""

    def asked_for(self) -> None:
        """Mark the copies that the device was asked for until now."""

    def wait(self) -> None:
        """Wait until the marked copies are made."""


class CudaCopies:
    """Copies that a CUDA device makes in the order of its current stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]

    def asked_for(self) -> None:
        self._event.record(torch.cuda.current_stream(self._device))

    def wait(self) -> None:
        self._event.synchronize()


@dataclass(frozen=True, eq=False)
class Buffer:
    """Memory for the largest batch, and whether it may be written again."""

    memory: Batch
    copies: Copies


@dataclass(frozen=True, eq=False)
class Staged:
    """A batch on the host, and the buffer that it lies in; None where its memory is its own."""

    batch: Batch
    buffer: Buffer | None = None


@runtime_checkable
class Staging(Protocol):
    """Reads batches in several threads, and delivers them to the device in one."""

    def read(self, rows: Rows) -> Staged:
        """Read these rows of the store."""

    def deliver(self, staged: Staged) -> Batch:
        """The batch on the device, the caller's to keep."""


@dataclass(frozen=True, eq=False)
class NewMemory:
    """Every batch is read into memory of its own, which on a CPU is where it stays."""

    reader: FeatureReader
    device: torch.device

    def read(self, rows: Rows) -> Staged:
        return Staged(self.reader.read(rows))

    def deliver(self, staged: Staged) -> Batch:
        return mapped(lambda tensor: tensor.to(self.device), staged.batch)


@dataclass(frozen=True, eq=False)
class ReusedBuffers:
    """Batches are read into buffers that the device copies from by itself, while the host goes on.

    As there are as many buffers as batches under way, a reader always finds one; it may have to wait until the device
    has copied what was in it.
    """

    reader: FeatureReader
    free: deque[Buffer]
    device: torch.device

    def read(self, rows: Rows) -> Staged:
        buffer = self.free.popleft()
        buffer.copies.wait()
        batch = mapped(lambda tensor: tensor[: len(rows)], buffer.memory)
        return Staged(self.reader.read(rows, out=batch), buffer)

    def deliver(self, staged: Staged) -> Batch:
        assert staged.buffer is not None
        # The copy is under way when this returns, and whatever the device does next waits for it.
        delivered = mapped(lambda tensor: tensor.to(self.device, non_blocking=True), staged.batch)
        staged.buffer.copies.asked_for()
        self.free.append(staged.buffer)
        return delivered


def staging_for(reader: FeatureReader, *, num_rows: int, num_buffers: int, device: torch.device) -> Staging:
    """Staging for batches of `num_rows` rows at most, `num_buffers` at a time: pinned memory for CUDA."""
    if device.type != "cuda":
        return NewMemory(reader, device)
    host = torch.device("cpu")
    buffers = [Buffer(reader.empty(num_rows, device=host, pinned=True), CudaCopies(device)) for _ in range(num_buffers)]
    return ReusedBuffers(reader, deque(buffers), device)


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
