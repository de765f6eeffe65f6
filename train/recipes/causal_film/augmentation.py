"""What is done to Causal-FiLM's inputs while training, so that it cannot learn the welds by heart."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ....configs.schema import TrainSettings
from ...nn.feature_mask import mask_tokens
from ...nn.feature_noise import add_noise
from ...nn.film_inputs import FilmInputs
from ...nn.mixup import mix, symmetric_beta
from ...nn.modality_dropout import drop_modalities


def augment(
    inputs: FilmInputs,
    *,
    settings: TrainSettings,
    spreads: tuple[Float[Tensor, " video_width"], Float[Tensor, " audio_width"]],
    generator: torch.Generator,
) -> FilmInputs:
    """Mixup, then noise, then hidden tokens, then hidden modalities; what a setting turns off draws no numbers.

    Tokens are hidden after standardisation, where zero is the mean and so says least, and after noise, so that nothing
    of them is left.
    """
    if settings.mixup > 0:
        shares = symmetric_beta(len(inputs.video), alpha=settings.mixup, generator=generator)
        inputs = mix(inputs, shares=shares)
    if settings.noise > 0:
        inputs = _with_noise(inputs, share=settings.noise, spreads=spreads, generator=generator)
    if settings.feature_mask > 0:
        inputs = _with_hidden_tokens(inputs, probability=settings.feature_mask, generator=generator)
    if settings.modality_dropout > 0:
        left = drop_modalities(inputs.present, probability=settings.modality_dropout, generator=generator)
        inputs = replace(inputs, present=left)
    return inputs


def _with_noise(
    inputs: FilmInputs, *, share: float, spreads: tuple[Tensor, Tensor], generator: torch.Generator
) -> FilmInputs:
    video, audio = (
        add_noise(tokens, share=share, spread=spread, generator=generator)
        for tokens, spread in zip((inputs.video, inputs.audio), spreads, strict=True)
    )
    return replace(inputs, video=video, audio=audio)


def _with_hidden_tokens(inputs: FilmInputs, *, probability: float, generator: torch.Generator) -> FilmInputs:
    video, audio = (
        mask_tokens(tokens, probability=probability, generator=generator) for tokens in (inputs.video, inputs.audio)
    )
    return replace(inputs, video=video, audio=audio)
