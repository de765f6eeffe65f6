"""What is done to features while training, so that a model cannot learn them by heart."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def symmetric_beta(count: int, *, alpha: float, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Draws from Beta(alpha, alpha) on the device of `generator`, alpha > 0.

    From three uniform numbers each, without rejection: so nothing waits for the device (Devroye 1996, Random variate
    generation in one line of code, Winter Simulation Conference, symmetric beta).
    """
    sizes, angles, signs = torch.rand(3, count, generator=generator, device=generator.device)
    odds = (sizes.pow(-1 / alpha) - 1) * torch.cos(math.tau * angles).square()
    return 0.5 + torch.where(signs < 0.5, -0.5, 0.5) / torch.sqrt(1 + 1 / odds)


def mix_rows(
    values: Float[Tensor, "batch entries *axes"],
    *,
    shares: Float[Tensor, " batch"],
    real: Bool[Tensor, "batch entries"] | None = None,
) -> Float[Tensor, "batch entries *axes"]:
    """Mixup: each row, to its share, mixed with the row before it (Zhang et al. 2018, arXiv:1710.09412).

    Batches are shuffled, so the row before is a random one. Where `real` is false an entry is padding, and what would
    be mixed with it stays as it is. The result is in the type of `values`.
    """
    own = shares.unsqueeze(-1)
    if real is not None:
        own = own.where(real.roll(1, dims=0), 1.0)
    own = own.reshape(*own.shape, *[1] * (values.dim() - 2))
    # A sum of products, as a difference of half-precision values may overflow.
    return (own * values + (1 - own) * values.roll(1, dims=0)).to(values.dtype)


def add_noise(
    tokens: Float[Tensor, "batch time width"],
    *,
    share: float | Float[Tensor, ""],
    spread: Float[Tensor, " #width"],
    generator: torch.Generator,
) -> Float[Tensor, "batch time width"]:
    """Tokens with noise of a standard deviation of `share * spread` in each channel, in float32.

    `generator` has to live on the device of the tokens.
    """
    noise = torch.randn(tokens.shape, generator=generator, device=tokens.device)
    return tokens.float() + share * spread * noise


def mask_tokens(
    tokens: Float[Tensor, "batch time width"], *, probability: float | Float[Tensor, ""], generator: torch.Generator
) -> Float[Tensor, "batch time width"]:
    """Zero each token with `probability`, all its features at once, so that no single token carries the decision.

    As in the original experiments the tokens that stay are not scaled up, and a masked one stays in the sequence as
    zeros: it is still attended to and counted in means. `generator` has to live on the device of the tokens.
    """
    draws = torch.rand(tokens.shape[:2], generator=generator, device=tokens.device)
    return tokens.masked_fill((draws < probability).unsqueeze(-1), 0.0)


def drop_modalities(
    present: Mapping[str, Bool[Tensor, " batch"]], *, probability: float | Float[Tensor, ""], generator: torch.Generator
) -> dict[str, Bool[Tensor, " batch"]]:
    """Whole modalities of a row hidden, so that none is leant on alone: each with `probability`, but never all of them.

    Where the draws would hide all that a row has, the one with the highest draw stays. `generator` has to live on the
    device of the masks.
    """
    had = torch.stack(list(present.values()))
    draws = torch.rand(had.shape, generator=generator, device=had.device).masked_fill(~had, -1.0)
    stays = (draws >= probability) | (draws == draws.amax(dim=0))
    return dict(zip(present, (had & stays).unbind(), strict=True))
