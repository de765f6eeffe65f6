"""Sensor modulator: the machine's sensors over time, read by two Mamba layers, become a FiLM modulation."""

from jaxtyping import Float
from torch import Tensor, nn

from .film import Modulation
from .mamba import Mamba

_NUM_LAYERS = 2


class ResidualMamba(nn.Module):
    """`x + Mamba(LayerNorm(x))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mamba = Mamba(width, d_state=16, d_conv=4, expand=2)

    def forward(self, sequence: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """Add to each step what it and the earlier steps say."""
        added: Tensor = self.mamba(self.norm(sequence))
        return sequence + added


class SensorModulator(nn.Module):
    """Sensors (batch, time, channels) to the modulation of `width` features; the identity at the start.

    The last linear layer starts at zero, so the very first backward pass gives only that layer a gradient; from the
    second step on every parameter has one.
    """

    def __init__(self, num_channels: int, *, hidden_width: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_channels, hidden_width)
        self.layers = nn.Sequential(*(ResidualMamba(hidden_width) for _ in range(_NUM_LAYERS)))
        self.norm = nn.LayerNorm(hidden_width)
        self.head = nn.Linear(hidden_width, 2 * width)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> Modulation:
        """The layers are causal, so the last step has seen the whole recording and stands for it."""
        sequence = self.layers(self.embed(sensors.to(self.embed.weight.dtype)))
        gamma, beta = self.head(self.norm(sequence[:, -1:])).chunk(2, dim=-1)
        return Modulation(gamma=gamma, beta=beta)
