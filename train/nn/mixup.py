"""Mixup: rows of a batch mixed with other rows (Zhang et al. 2018, arXiv:1710.09412), on features, while training."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .film_inputs import FilmInputs


def symmetric_beta(count: int, *, alpha: float, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Draws from Beta(alpha, alpha) on the device of `generator`, alpha > 0.

    From three uniform numbers each, without rejection: so nothing waits for the device (Devroye 1996, Random variate
    generation in one line of code, Winter Simulation Conference, symmetric beta).
    """
    sizes, angles, signs = torch.rand(3, count, generator=generator, device=generator.device)
    odds = (sizes.pow(-1 / alpha) - 1) * torch.cos(math.tau * angles).square()
    return 0.5 + torch.where(signs < 0.5, -0.5, 0.5) / torch.sqrt(1 + 1 / odds)


def mix(inputs: FilmInputs, *, shares: Float[Tensor, " batch"]) -> FilmInputs:
    """Each row, to its share, mixed with the row before it, alike in all modalities: a process and its result stay one.

    Batches are shuffled, so the row before is a random one. A row that lacks a modality, or whose partner does, stays
    as it is; so does a token or a view that the partner lacks. Absence and padding stay the row's own.
    """
    shares = shares.where(_complete(inputs.present, like=shares), 1.0)
    return replace(
        inputs,
        video=_mixed(inputs.video, shares=shares),
        audio=_mixed(inputs.audio, shares=shares, real=~inputs.audio_padding),
        patches=tuple(_mixed(block, shares=shares, real=inputs.view_mask) for block in inputs.patches),
        sensor=None if inputs.sensor is None else _mixed(inputs.sensor, shares=shares),
    )


def _complete(
    present: Mapping[str, Bool[Tensor, " batch"]], *, like: Float[Tensor, " batch"]
) -> Bool[Tensor, " batch"]:
    """True for rows that have everything, as their partners do."""
    complete = torch.ones_like(like, dtype=torch.bool)
    for mask in present.values():
        complete = complete & mask & mask.roll(1)
    return complete


def _mixed(
    values: Float[Tensor, "batch entries *axes"],
    *,
    shares: Float[Tensor, " batch"],
    real: Bool[Tensor, "batch entries"] | None = None,
) -> Float[Tensor, "batch entries *axes"]:
    """In the type of `values`; a sum of products, as a difference of half-precision values may overflow."""
    own = shares.unsqueeze(-1)
    if real is not None:
        own = own.where(real.roll(1, dims=0), 1.0)
    own = own.reshape(*own.shape, *[1] * (values.dim() - 2))
    return (own * values + (1 - own) * values.roll(1, dims=0)).to(values.dtype)
