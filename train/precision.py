"""The arithmetic that heads are trained and scored in."""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16", "float16"]

_HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def arithmetic(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    """Autocast to half precision where that is asked for: weights, losses and what is sensitive stay float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_HALF[precision])


def coarsest(precisions: Iterable[Precision]) -> Precision:
    """The one that rounds most."""
    return max(precisions, key=("float32", "float16", "bfloat16").index)


def gradient_scaler(device: torch.device, precision: Precision) -> torch.amp.GradScaler:
    """Scales the loss where gradients would vanish below what float16 can hold; does nothing for other precisions."""
    return torch.amp.GradScaler(device.type, enabled=precision == "float16")
