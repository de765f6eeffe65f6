"""Feature noise: Gaussian noise on tokens while training, in proportion to how far each channel spreads."""

import torch
from jaxtyping import Float
from torch import Tensor


def add_noise(
    tokens: Float[Tensor, "batch time width"],
    *,
    share: float,
    spread: Float[Tensor, " #width"],
    generator: torch.Generator,
) -> Float[Tensor, "batch time width"]:
    """Tokens with noise of a standard deviation of `share * spread` in each channel, in float32.

    `generator` has to live on the device of the tokens.
    """
    noise = torch.randn(tokens.shape, generator=generator, device=tokens.device)
    return tokens.float() + share * spread * noise
