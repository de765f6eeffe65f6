"""Features that stay on the device: loaded once, so that a batch is an index gather."""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..cache.store import FeatureStore
from ..cache.tensors import read_tensor
from ..errors import TrainingError
from ..progress import Progress
from .batches import Order, batches_in_order
from .recipes.recipe import Batch, FeatureRequest
from .requests import empty_features, num_feature_bytes
from .staging import Rows
from .streamed import StreamedFeatures

_BLOCK_ROWS = 64  # rows read at a time
_USABLE_SHARE = 0.8  # of the free memory; the rest is for the model, gradients and activations
_SHOWN_BYTES = 1_000_000_000  # as much takes seconds, so loading it shows how far it is


@dataclass(frozen=True, eq=False)
class ResidentFeatures:
    """Requested features of some rows on one device, by `<feature set>/<array>`, in the storage type of the cache."""

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(iter(self.tensors.values())).device

    @property
    def num_bytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in self.tensors.values())

    def part(self, start: int, stop: int) -> "ResidentFeatures":
        """The samples from `start` to `stop`, in the same memory."""
        return ResidentFeatures({name: tensor[start:stop] for name, tensor in self.tensors.items()})

    def batches(self, order: Order, *, arrays: Collection[str] | None = None) -> Iterator[Batch]:
        """The batches of `order`."""
        tensors = {name: tensor for name, tensor in self.tensors.items() if arrays is None or name in arrays}
        for samples in order:
            chosen = samples.to(self.device)
            yield {name: tensor.index_select(0, chosen) for name, tensor in tensors.items()}


def load_resident(
    store: FeatureStore, rows: Rows, *, requests: Sequence[FeatureRequest], device: torch.device
) -> ResidentFeatures:
    """Read the requested features of `rows` to `device`; progress goes to stderr if it is much.

    Raises:
        TrainingError: if they do not fit its memory.
        StoreError: as `FeatureStore.read`.
    """
    assert len(rows), "nothing to load"
    needed = num_feature_bytes(store, requests, num_rows=len(rows))
    _require_memory(needed, device=device)
    tensors = empty_features(store, requests, num_rows=len(rows), device=device)
    blocks = _filled(tensors, store, rows, requests=requests, device=device)
    if needed < _SHOWN_BYTES:
        deque(blocks, maxlen=0)
    else:
        _count(blocks, num_rows=len(rows), num_bytes=needed)
    return ResidentFeatures(tensors)


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
            f"The features take {needed / 1e9:.2f} GB and {device} has {(available_bytes(device) or 0) / 1e9:.2f} GB "
            f"free, of which {_USABLE_SHARE:.0%} are used at most. Stream them from the cache with --set "
            "train.loading=streamed, choose fewer blocks with --set model.blocks=[...], or make room."
        )


def _filled(
    tensors: Mapping[str, Tensor],
    store: FeatureStore,
    rows: Rows,
    *,
    requests: Sequence[FeatureRequest],
    device: torch.device,
) -> Iterator[int]:
    """Fill the tensors block by block; yields the number of rows of each block that is done."""
    order = batches_in_order(len(rows), batch_size=_BLOCK_ROWS)
    spans = [slice(int(samples[0]), int(samples[-1]) + 1) for samples in order]
    if device.type == "cpu":  # straight to where they stay
        for span in spans:
            for name, tensor in tensors.items():
                read_tensor(store, name, rows[span], out=tensor[span])
            yield span.stop - span.start
        return
    streamed = StreamedFeatures(store, rows, requests, device)
    for span, batch in zip(spans, streamed.batches(order), strict=True):
        for name, tensor in tensors.items():
            tensor[span] = batch[name]
        yield span.stop - span.start


def _count(blocks: Iterator[int], *, num_rows: int, num_bytes: int) -> None:
    """Go through all blocks and show how far they are."""
    done = shown = 0
    with Progress("load features", total=round(num_bytes / 1e6), unit="MB") as progress:
        for num_done in blocks:
            done += num_done
            megabytes = round(num_bytes * done / num_rows / 1e6)
            progress.advance(megabytes - shown)
            shown = megabytes
