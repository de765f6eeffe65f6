"""AntiGen decoder: predicts from the process alone how the result should be encoded."""

from jaxtyping import Float
from torch import Tensor, nn


class AntiGenDecoder(nn.Module):
    """Linear, LayerNorm, ReLU, dropout, Linear at one width; small, so that it does not stretch to what defects do."""

    def __init__(self, width: int, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, width), nn.LayerNorm(width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, z_process: Float[Tensor, "batch width"]) -> Float[Tensor, "batch width"]:
        """Z_pred, to be held against Z_result."""
        predicted: Tensor = self.layers(z_process)
        return predicted
