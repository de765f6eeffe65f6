"""FiLM: features scaled and shifted by what a condition asks for (Perez et al. 2018, arXiv:1709.07871)."""

from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor


class Modulation(NamedTuple):
    """Scale and shift per feature, (batch, 1, width) each, alike for all tokens; zeros leave tokens as they are."""

    gamma: Tensor
    beta: Tensor

    def only_where(self, present: Bool[Tensor, " batch"]) -> "Modulation":
        """This one for rows where `present`, the identity for the others."""
        absent = ~present[:, None, None]
        return Modulation(gamma=self.gamma.masked_fill(absent, 0.0), beta=self.beta.masked_fill(absent, 0.0))


def modulate(tokens: Float[Tensor, "batch time width"], modulation: Modulation) -> Float[Tensor, "batch time width"]:
    """`tokens * (gamma + 1) + beta`."""
    return tokens * (modulation.gamma + 1) + modulation.beta
