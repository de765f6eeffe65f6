"""Target encoder: a moving average of the result encoder, to draw predictions to (Grill et al. 2020, arXiv:2006.07733).

A target that moves slowly cannot run towards the prediction, which is how the two would meet in a constant.
"""

import copy
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from .result_encoder import ResultEncoder


class TargetEncoder(nn.Module):
    """A copy of a result encoder that takes no gradient; it starts equal and moves when it is told to follow."""

    def __init__(self, followed: ResultEncoder) -> None:
        super().__init__()
        self.average = copy.deepcopy(followed).requires_grad_(False)

    @torch.no_grad()
    def follow(self, followed: ResultEncoder, *, decay: float) -> None:
        """Move all weights: `decay * average + (1 - decay) * followed`."""
        torch._foreach_lerp_(list(self.average.parameters()), list(followed.parameters()), 1 - decay)

    @torch.no_grad()
    def forward(
        self,
        patches: Sequence[Float[Tensor, "batch views patches image_width"]],
        *,
        view_mask: Bool[Tensor, "batch views"],
    ) -> Float[Tensor, "batch width"]:
        """As `ResultEncoder`, without a gradient."""
        encoded: Tensor = self.average(patches, view_mask=view_mask)
        return encoded
