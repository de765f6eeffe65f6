"""Features that stream, of which what fits the memory is read once: for a recipe that goes through its samples often.

What a vector a sample takes is little beside patch tokens, so that of both together the former stays and the latter
streams. Batches are the same to the last bit.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from ...progress import say
from ...wording import format_size
from ..types import Batch, mapped
from .batches import BatchSource, Order
from .features import held_requests
from .resident import ResidentFeatures, available_bytes, load_resident
from .streamed import StreamedFeatures

# At most. Features stream where they are too large to stay, or memory is wanted for something else; and what is read
# within a second or so needs no bar beside that of the fitting.
_KEPT_BYTES = 1_000_000_000
_KEPT_SHARE = 0.25  # of the host's free memory
_HOST = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class PartlyKept:
    """Samples some of whose arrays are in the host's memory and others in the store.

    Attributes:
        kept: the former, and all targets.
        streamed: all of them.
    """

    kept: ResidentFeatures
    streamed: StreamedFeatures

    def __len__(self) -> int:
        return len(self.streamed)

    @property
    def device(self) -> torch.device:
        return self.streamed.device

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        reader, kept = self.streamed.reader, self.kept.rows
        wanted = [*(request.name for request in reader.requests), *reader.targets] if arrays is None else arrays
        to_device = partial(mapped, lambda tensor: tensor.to(self.device))
        from_memory = map(to_device, self.kept.batches(order, arrays=wanted))
        held = {request.name for request in held_requests(reader.store, reader.requests)}
        if rest := [name for name in wanted if name in held - kept.features.keys()]:
            from_store = self.streamed.batches(order, arrays=rest)
            return (read.beside(remembered) for read, remembered in zip(from_store, from_memory, strict=True))
        return from_memory


def kept_where_it_fits(samples: BatchSource) -> BatchSource:
    """The samples, of which the smallest arrays are read now and kept on the host, where they stream; how much is kept
    goes to stderr.

    Raises:
        StoreError: as `FeatureReader.read`.
    """
    if not isinstance(samples, StreamedFeatures):
        return samples
    reader, num_rows = samples.reader, len(samples)
    sizes = {
        request.name: reader.only([request.name]).num_bytes(num_rows)
        for request in held_requests(reader.store, reader.requests)
    }
    smallest = sorted(sizes, key=sizes.__getitem__)
    free = available_bytes(_HOST)
    limit = _KEPT_BYTES if free is None else min(_KEPT_BYTES, int(_KEPT_SHARE * free))
    fits = np.cumsum([sizes[name] for name in smallest]) < limit
    names = [name for name, fit in zip(smallest, fits, strict=True) if fit]
    if not names:
        return samples
    kept = load_resident(reader.only([*names, *reader.targets]), samples.rows, device=_HOST)
    rest = sum(sizes.values()) - sum(sizes[name] for name in names)
    again = f"; {format_size(rest)} are read anew each time that they are gone through" if rest else ""
    say(f"{format_size(kept.rows.num_bytes)} of features to fit to are read once and stay in memory{again}.")
    return PartlyKept(kept, samples)
