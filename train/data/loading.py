"""Whether features are loaded once and stay, or stream from the store while training goes on."""

from typing import Literal

import numpy as np
import torch

from ...progress import say
from ...wording import count_of, format_size
from .batches import BatchSource
from .feature_reader import FeatureReader
from .resident import fits_memory, load_resident
from .samples import ChosenSamples
from .streamed import StreamedFeatures

Loading = Literal["auto", "resident", "streamed"]


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
    if loading == "resident" or (loading == "auto" and fits_memory(num_bytes, device=device)):
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
