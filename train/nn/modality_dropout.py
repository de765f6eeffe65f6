"""Modality dropout: whole modalities of a weld hidden while training, so that none of them is leant on alone."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool
from torch import Tensor


def drop_modalities(
    present: Mapping[str, Bool[Tensor, " batch"]], *, probability: float, generator: torch.Generator
) -> dict[str, Bool[Tensor, " batch"]]:
    """Which modalities are left: each that a row has is hidden with `probability`, but never all of them.

    Where the draws would hide all that a row has, the one with the highest draw stays. `generator` has to live on the
    device of the masks.
    """
    had = torch.stack(list(present.values()))
    draws = torch.rand(had.shape, generator=generator, device=had.device).masked_fill(~had, -1.0)
    stays = (draws >= probability) | (draws == draws.amax(dim=0))
    return dict(zip(present, (had & stays).unbind(), strict=True))
