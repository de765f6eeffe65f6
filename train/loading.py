"""Whether features are loaded once and stay, or stream from the store while training goes on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from ..cache.store import FeatureStore
from ..progress import say
from .batches import BatchSource
from .recipes.recipe import FeatureRequest
from .requests import num_feature_bytes
from .resident import fits_memory, load_resident
from .samples import ChosenSamples
from .streamed import StreamedFeatures

Loading = Literal["auto", "resident", "streamed"]


def load_features(
    store: FeatureStore,
    samples: ChosenSamples,
    *,
    requests: Sequence[FeatureRequest],
    device: torch.device,
    loading: Loading,
    batch_size: int,
) -> tuple[BatchSource, BatchSource]:
    """The samples to train on and those to validate on; both ways give the same batches to the last bit.

    Raises:
        TrainingError: if they are to stay on the device and do not fit its memory.
    """
    num_train, num_validation = len(samples.train), len(samples.validation)
    num_bytes = num_feature_bytes(store, requests, num_rows=num_train + num_validation)
    size = f"{num_bytes / 1e6:,.1f} MB of features"
    if loading == "resident" or (loading == "auto" and fits_memory(num_bytes, device=device)):
        everyone = np.concatenate([samples.train, samples.validation])
        features = load_resident(store, everyone, requests=requests, device=device)
        say(f"{size} stay on {device}.")
        return features.part(0, num_train), features.part(num_train, num_train + num_validation)
    train, validation = (
        StreamedFeatures(store, rows, requests, device) for rows in (samples.train, samples.validation)
    )
    reason = "" if loading == "streamed" else f", as they do not fit the memory of {device}"
    batch_size = min(batch_size, num_train)
    ahead = train.num_ahead(batch_size=batch_size)
    say(
        f"{size} stream from {store.path}{reason}: {ahead} batches of "
        f"{num_feature_bytes(store, requests, num_rows=batch_size) / 1e6:,.1f} MB are read ahead."
    )
    return train, validation
