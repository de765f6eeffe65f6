"""What is done to Causal-FiLM's inputs while training, so that it cannot learn the samples by heart."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...nn.augmentation import add_noise, drop_modalities, mask_tokens, mix_rows, symmetric_beta
from ...nn.stack import Numbers
from .network import FilmInputs
from .settings import CausalFilmSettings


def augment(
    inputs: FilmInputs,
    *,
    settings: CausalFilmSettings,
    numbers: Numbers,
    spreads: tuple[Float[Tensor, " video_width"], Float[Tensor, " audio_width"]],
    generator: torch.Generator,
) -> FilmInputs:
    """Mixup, then noise, then hidden tokens, then hidden modalities; what a setting turns off draws no numbers.

    How much of each is in `numbers`.

    Tokens are hidden after standardisation, where zero is the mean and so says least, and after noise, so that nothing
    of them is left.
    """
    if settings.mixup > 0:
        shares = symmetric_beta(len(inputs.video), alpha=settings.mixup, generator=generator)
        inputs = mix(inputs, shares=shares)
    if settings.noise > 0:
        of_video, of_audio = spreads
        video = add_noise(inputs.video, share=numbers["noise"], spread=of_video, generator=generator)
        audio = add_noise(inputs.audio, share=numbers["noise"], spread=of_audio, generator=generator)
        inputs = replace(inputs, video=video, audio=audio)
    if settings.feature_mask > 0:
        video = mask_tokens(inputs.video, probability=numbers["feature_mask"], generator=generator)
        audio = mask_tokens(inputs.audio, probability=numbers["feature_mask"], generator=generator)
        inputs = replace(inputs, video=video, audio=audio)
    if settings.modality_dropout > 0:
        left = drop_modalities(inputs.present, probability=numbers["modality_dropout"], generator=generator)
        inputs = replace(inputs, present=left)
    return inputs


def mix(inputs: FilmInputs, *, shares: Float[Tensor, " batch"]) -> FilmInputs:
    """Each row, to its share, mixed with the row before it, alike in all modalities: a process and its result stay one.

    A row that lacks a modality, or whose partner does, stays as it is; so does a token or a view that the partner
    lacks. Absence and padding stay the row's own.
    """
    complete = torch.ones_like(shares, dtype=torch.bool)
    for present in inputs.present.values():
        complete = complete & present & present.roll(1)
    shares = shares.where(complete, 1.0)
    return replace(
        inputs,
        video=mix_rows(inputs.video, shares=shares),
        audio=mix_rows(inputs.audio, shares=shares, real=~inputs.audio_padding),
        patches=tuple(mix_rows(block, shares=shares, real=inputs.view_mask) for block in inputs.patches),
        sensor=None if inputs.sensor is None else mix_rows(inputs.sensor, shares=shares),
    )
