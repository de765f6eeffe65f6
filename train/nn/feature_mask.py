"""Feature mask: whole tokens set to zero at random while training, so that no single token carries the decision."""

import torch
from jaxtyping import Float
from torch import Tensor


def mask_tokens(
    tokens: Float[Tensor, "batch time width"], *, probability: float, generator: torch.Generator
) -> Float[Tensor, "batch time width"]:
    """Zero each token with `probability`, all its features at once; the tokens that stay are not scaled up.

    As in the original experiments a masked token stays in the sequence as zeros: it is still attended to and counted
    in means. `generator` has to live on the device of the tokens.
    """
    draws = torch.rand(tokens.shape[:2], generator=generator, device=tokens.device)
    return tokens.masked_fill((draws < probability).unsqueeze(-1), 0.0)
