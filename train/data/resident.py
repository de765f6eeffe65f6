"""Features that stay on the device, loaded once, so that a batch is an index gather; and whether they should.

Several trainings share a pool: each array is on the device once, however many recipes ask for it.
"""

from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from ...cache.store import FeatureStore
from ...errors import TrainingError
from ...progress import ByteProgress, say
from ...wording import count_of, format_size
from ..types import Batch, Needs, mapped
from .batches import BatchSource, Order, batches_in_order
from .features import FeatureReader, Rows, held_requests
from .samples import ChosenSamples
from .streamed import StreamedFeatures

Loading = Literal["auto", "resident", "streamed"]

_BLOCK_ROWS = 64  # rows read at a time
_WAITING_BLOCK_ROWS = 1024  # where a request takes as long as sending a thousand rows
_WAITING_BLOCKS = 8  # that are waited for together
_USABLE_SHARE = 0.8  # of the free memory; the rest is for the model, gradients and activations
_SHOWN_BYTES = 1_000_000_000  # as much takes seconds, so loading it shows how far it is


@dataclass(frozen=True, eq=False)
class ResidentFeatures:
    """Samples on one device.

    Attributes:
        rows: holds them, and may hold others.
        positions: where in `rows` the samples are; None: one after another from the first to the last.
    """

    rows: Batch
    positions: Int64[Tensor, " samples"] | None = None

    def __len__(self) -> int:
        return len(self.rows if self.positions is None else self.positions)

    @property
    def device(self) -> torch.device:
        return self.rows.device

    def part(self, start: int, stop: int) -> "ResidentFeatures":
        """The samples from `start` to `stop`, in the same memory."""
        if self.positions is not None:
            return ResidentFeatures(self.rows, self.positions[start:stop])
        return ResidentFeatures(_slice(self.rows, start, stop))

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`; samples that stand one after another are not copied.

        The order goes to the device once, so that no batch waits for it. On a CPU the others are copied to the same
        memory again and again, which is known to the processor already.
        """
        rows = self.rows if arrays is None else self.rows.only(arrays)
        everything = torch.cat(list(order)).to(self.device) if order else torch.empty(0, dtype=torch.int64)
        chosen = everything if self.positions is None else self.positions[everything]
        largest = max((len(samples) for samples in order), default=0)
        on_cpu = self.device.type == "cpu"
        memory = mapped(lambda tensor: tensor.new_empty((largest * on_cpu, *tensor.shape[1:])), rows)
        for samples, indices in zip(order, torch.split(chosen, [len(samples) for samples in order]), strict=True):
            if self.positions is None and _is_a_run(samples):
                yield _slice(rows, int(samples[0]), int(samples[-1]) + 1)
            elif on_cpu:
                out = _slice(memory, 0, len(samples))
                yield mapped(partial(_gathered, indices), rows, out)
            else:
                yield mapped(partial(_gathered, indices), rows)


def _gathered(indices: Int64[Tensor, " samples"], tensor: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.index_select(tensor, 0, indices, out=out)


def _slice(rows: Batch, start: int, stop: int) -> Batch:
    return mapped(lambda tensor: tensor[start:stop], rows)


def load_resident(reader: FeatureReader, rows: Rows, *, device: torch.device) -> ResidentFeatures:
    """Read the features of `rows` to `device`; progress goes to stderr if it is much.

    Raises:
        TrainingError: if they do not fit its memory.
        StoreError: as `FeatureReader.read`.
    """
    assert len(rows), "nothing to load"
    needed = reader.num_bytes(len(rows))
    _require_memory(needed, device=device)
    memory = reader.empty(len(rows), device=device)
    blocks = _filled(memory, reader, rows, device=device)
    if needed < _SHOWN_BYTES:
        deque(blocks, maxlen=0)
    else:
        with ByteProgress("load features", num_bytes=needed) as progress:
            for num_rows in blocks:
                progress.advance(needed * num_rows // len(rows))
    return ResidentFeatures(memory)


def fits_memory(num_bytes: int, *, device: torch.device) -> bool:
    """Whether the features leave enough of the device's free memory; true where the system does not say."""
    available = available_bytes(device)
    return available is None or num_bytes <= _USABLE_SHARE * available


def available_bytes(device: torch.device) -> int | None:
    """Free memory of `device`; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    fields = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024


def _require_memory(needed: int, *, device: torch.device) -> None:
    if not fits_memory(needed, device=device):
        raise TrainingError(
            f"The features take {format_size(needed)} and {device} has {format_size(available_bytes(device) or 0)} "
            f"free, of which {_USABLE_SHARE:.0%} are used at most. Stream them from the cache with --set "
            "train.loading=streamed, have the recipe look at fewer of them, or make room."
        )


def _is_a_run(samples: Int64[Tensor, " _"]) -> bool:
    first = int(samples[0])
    return torch.equal(samples, torch.arange(first, first + len(samples)))


def _filled(memory: Batch, reader: FeatureReader, rows: Rows, *, device: torch.device) -> Iterator[int]:
    """Fill the memory block by block; yields the number of rows of each block that is done."""
    waits = reader.store.waits_for_requests
    order = batches_in_order(len(rows), batch_size=_WAITING_BLOCK_ROWS if waits else _BLOCK_ROWS)
    blocks = [(int(samples[0]), int(samples[-1]) + 1) for samples in order]
    if device.type == "cpu":  # straight to where they stay
        with ThreadPoolExecutor(_WAITING_BLOCKS if waits else 1, thread_name_prefix="load") as pool:
            reading = [
                pool.submit(reader.read, rows[start:stop], out=_slice(memory, start, stop)) for start, stop in blocks
            ]
            try:
                for (start, stop), read in zip(blocks, reading, strict=True):
                    read.result()
                    yield stop - start
            finally:
                pool.shutdown(cancel_futures=True)
        return
    streamed = StreamedFeatures(reader, rows, device)
    for (start, stop), batch in zip(blocks, streamed.batches(order), strict=True):
        mapped(torch.Tensor.copy_, _slice(memory, start, stop), batch)
        yield stop - start


def load_features(
    reader: FeatureReader, samples: ChosenSamples, *, device: torch.device, loading: Loading, batch_size: int
) -> tuple[BatchSource, BatchSource]:
    """The samples to train on and those to validate on; both ways give the same batches to the last bit.

    Raises:
        TrainingError: if they are to stay on the device and do not fit its memory.
    """
    num_train, num_validation = len(samples.train), len(samples.validation)
    num_bytes = reader.num_bytes(num_train + num_validation)
    size = f"{format_size(num_bytes)} of features"
    if _stays(num_bytes, loading=loading, device=device):
        features = load_resident(reader, np.concatenate([samples.train, samples.validation]), device=device)
        say(f"{size} stay on {device}.")
        return features.part(0, num_train), features.part(num_train, num_train + num_validation)
    train, validation = (StreamedFeatures(reader, rows, device) for rows in (samples.train, samples.validation))
    reason = "" if loading == "streamed" else f", as they do not fit the memory of {device}"
    batch_size = min(batch_size, num_train)
    num_ahead = train.num_ahead(batch_size=batch_size)
    say(
        f"{size} stream from {reader.store.path}{reason}: {count_of(num_ahead, 'batch', 'batches')} of "
        f"{format_size(reader.num_bytes(batch_size))} each read ahead."
    )
    return train, validation


def load_rows(reader: FeatureReader, rows: Rows, *, device: torch.device, loading: Loading) -> BatchSource:
    """Samples that models go through several times, in one order, as validation's.

    Raises:
        TrainingError: if they are to stay on the device and do not fit its memory.
    """
    if _stays(reader.num_bytes(len(rows)), loading=loading, device=device):
        return load_resident(reader, rows, device=device)
    return StreamedFeatures(reader, rows, device)


def _stays(num_bytes: int, *, loading: Loading, device: torch.device) -> bool:
    return loading == "resident" or (loading == "auto" and fits_memory(num_bytes, device=device))


class FeaturePool:
    """Holds the arrays that were asked for so far, of a fixed set of rows.

    All rows have to have the feature sets that are not asked for as optional. Rows that are asked for together should
    stand together: those of a source that are neighbours here, in the order of the source, need no copying where
    batches go through them in order.
    """

    def __init__(self, store: FeatureStore, rows: Rows, *, device: torch.device) -> None:
        self.store = store
        self.device = device
        self._rows = rows
        self._position_of = np.full(len(store.index), -1, dtype=np.int64)
        self._position_of[rows] = np.arange(len(rows))
        self._held = Batch({})

    def num_bytes(self, needs: Needs) -> int:
        """Memory that what a recipe needs, and the pool does not hold yet, will take."""
        return self._lacking(needs).num_bytes(len(self._rows))

    def source(self, rows: Rows, needs: Needs) -> ResidentFeatures:
        """These rows, all of which the pool has to be for; what it does not hold yet is loaded for all of its rows.

        Raises:
            TrainingError: if that does not fit the device's memory.
            StoreError: as `FeatureReader.read`.
        """
        lacking = self._lacking(needs)
        if lacking.requests or lacking.targets:
            self._held = self._held.beside(load_resident(lacking, self._rows, device=self.device).rows)
        positions = self._position_of[rows]
        assert (positions >= 0).all(), "the pool is not for these rows"
        held = self._held
        wanted = Batch(
            {request.name: held.features[request.name] for request in held_requests(self.store, needs.features)},
            {name: held.present[name] for name in needs.optional},
            {name: held.targets[name] for name in needs.targets},
        )
        first = int(positions[0])
        if np.array_equal(positions, np.arange(first, first + len(rows))):
            return ResidentFeatures(wanted).part(first, first + len(rows))
        return ResidentFeatures(wanted, torch.from_numpy(positions).to(self.device))

    def _lacking(self, needs: Needs) -> FeatureReader:
        """Reads what the pool does not hold yet; an array that it holds, too, where it lacks which rows have it."""
        held = self._held
        requests = [
            request
            for request in held_requests(self.store, needs.features)
            if request.name not in held.features or (request.optional and request.feature_set not in held.present)
        ]
        return FeatureReader(self.store, requests, [name for name in needs.targets if name not in held.targets])
