"""AntiGen decoder: predicts from the process alone how the result should be encoded."""

from jaxtyping import Float
from torch import Tensor, nn


class AntiGenDecoder(nn.Module):
    """Linear, LayerNorm, ReLU, dropout, Linear; small, so that it does not stretch to what defects do.

    Between the two linear layers it is `bottleneck` wide, by default as wide as its input.
    """

    def __init__(self, width: int, *, bottleneck: int | None = None, dropout: float = 0.2) -> None:
        super().__init__()
        inner = bottleneck or width
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.LayerNorm(inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )

    def forward(self, z_process: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Z_pred, to be held against Z_result."""
        predicted: Tensor = self.layers(z_process)
        return predicted
