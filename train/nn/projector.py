"""Projector: backbone tokens to the width of the model."""

from jaxtyping import Float
from torch import Tensor, nn


class Projector(nn.Module):
    """Linear, LayerNorm, GELU, Linear over the last axis; takes the half-precision tokens of the cache."""

    def __init__(self, input_width: int, *, hidden_width: int, width: int) -> None:
        super().__init__()
        self.expand = nn.Linear(input_width, hidden_width)
        self.norm = nn.LayerNorm(hidden_width)
        self.activation = nn.GELU()
        self.contract = nn.Linear(hidden_width, width)

    def forward(self, tokens: Float[Tensor, "batch time input_width"]) -> Float[Tensor, "batch time width"]:
        """Project each token by itself; the result has the parameters' precision."""
        hidden = self.activation(self.norm(self.expand(tokens.to(self.expand.weight.dtype))))
        projected: Tensor = self.contract(hidden)
        return projected
