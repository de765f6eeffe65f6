"""Sensor encoders: the machine's sensors over time become one vector, by Mamba layers or by a GRU."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from .mamba import Mamba

SensorEncoding = Literal["mamba", "gru"]

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


class MambaSensorEncoder(nn.Module):
    """Linear, two residual Mamba layers, LayerNorm; causal, so the last step has seen all and stands for it."""

    def __init__(self, num_channels: int, *, hidden_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_channels, hidden_width)
        self.layers = nn.Sequential(*(ResidualMamba(hidden_width) for _ in range(_NUM_LAYERS)))
        self.norm = nn.LayerNorm(hidden_width)

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch hidden"]:
        """The last step, normalised."""
        sequence = self.layers(self.embed(sensors.to(self.embed.weight.dtype)))
        encoded: Tensor = self.norm(sequence[:, -1])
        return encoded


class GruSensorEncoder(nn.Module):
    """Linear, then two layers of gated recurrent units; the state after the last step."""

    def __init__(self, num_channels: int, *, hidden_width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(num_channels, hidden_width)
        self.gru = nn.GRU(hidden_width, hidden_width, num_layers=_NUM_LAYERS, batch_first=True)

    def forward(self, sensors: Float[Tensor, "batch time channels"]) -> Float[Tensor, "batch hidden"]:
        """The upper layer's state at the last step, between -1 and 1."""
        states: Tensor = self.gru(self.embed(sensors.to(self.embed.weight.dtype)))[0]
        return states[:, -1]


SENSOR_ENCODERS: dict[SensorEncoding, type[MambaSensorEncoder] | type[GruSensorEncoder]] = {
    "mamba": MambaSensorEncoder,
    "gru": GruSensorEncoder,
}
